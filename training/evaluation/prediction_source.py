"""PredictionSource: where the frames to evaluate come from, and what one row of the table of sources says."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from .ground_truth import GroundTruth
from .metric import Prediction


class PredictionSource(ABC):
    """Predictions for the frames of one dataset, in its order."""

    title: str
    """What is evaluated, for the report's heading."""
    facts: dict[str, Any]
    """What else the report should say of it: tracer, variant, epochs."""

    @abstractmethod
    def predict(self, index: int) -> Prediction:
        """What was rendered for the dataset's frame at `index`, of the dataset's size.

        Raises:
            InputError: there is nothing for this frame, or it has another size.
        """


@dataclass(frozen=True)
class Options:
    """What a source may be asked beyond its path."""

    tracer: str = "raster"
    """A row of `tracing.TRACERS`, for sources that trace."""
    device: str = "auto"


@dataclass(frozen=True)
class SourceKind:
    """One kind of source, owned by the file that opens it."""

    name: str
    description: str
    matches: Callable[[str], bool]
    open: Callable[[str, GroundTruth, Options], AbstractContextManager[PredictionSource]]
