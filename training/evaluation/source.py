"""PredictionSource: where the frames to evaluate come from, and what one row of the table of sources says."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.tracks import FlameTrack

from .metric import Image, Mask, Points, Prediction

# GroundTruth: what evaluation asks of a dataset; `FaceDataset` is one.


class Truth(Protocol):
    """One frame of a dataset."""

    @property
    def name(self) -> str:
        """Plain file name without suffix."""

    @property
    def image(self) -> Image:
        """[H, W, 3] in 0..1, white outside the mask."""

    @property
    def mask(self) -> Mask:
        """[H, W]."""

    @property
    def normal(self) -> Image | None:
        """[H, W, 3] in model space, where the dataset has them."""

    @property
    def keypoints(self) -> Points | None:
        """[70, 2] pixels: column and row."""


class GroundTruth(Protocol):
    """Frames with their motion, seen at one size."""

    @property
    def track(self) -> FlameTrack:
        """The motion of exactly these frames, with cameras."""

    @property
    def size(self) -> int:
        """Pixels a side."""

    @property
    def head(self) -> HeadModel:
        """The subject's head model."""

    def __len__(self) -> int: ...

    def observation(self, index: int) -> Truth:
        """The frame at `index`."""


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
