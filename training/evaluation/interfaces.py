"""Interfaces of an evaluation: ground truth, sources of predictions, and kinds of sources."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.tracks import FlameTrack

from .metric import Image, Mask, Prediction


class Truth(Protocol):
    """Ground truth of one frame, such as a `FrameObservation`."""

    @property
    def name(self) -> str:
        """File name without suffix."""

    @property
    def image(self) -> Image:
        """RGB in 0..1, white outside the mask."""

    @property
    def mask(self) -> Mask:
        """Pixels of the head."""

    @property
    def normal(self) -> Image | None:
        """Unit normals in model space, where the dataset has them."""

    @property
    def keypoints(self) -> Float32[Array, "70 2"] | None:
        """Columns and rows of the landmarks, where the dataset has them."""


class GroundTruth(Protocol):
    """Frames of a dataset with their motion, such as a `FaceDataset`."""

    @property
    def track(self) -> FlameTrack:
        """The motion of these frames, with cameras."""

    @property
    def size(self) -> int:
        """Side of the images, pixels."""

    @property
    def head(self) -> HeadModel:
        """The subject's head model."""

    def __len__(self) -> int: ...

    def observation(self, index: int) -> Truth:
        """Ground truth of the frame at `index`."""


class PredictionSource(ABC):
    """Predictions for the frames of one dataset, in its order."""

    title: str
    """What is evaluated, for the heading of the report."""
    facts: dict[str, Any]
    """What else to report of the source, such as tracer and variant."""

    @abstractmethod
    def predict(self, index: int) -> Prediction:
        """The prediction for the dataset's frame at `index`, of the dataset's size.

        Raises:
            InputError: there is no readable prediction for this frame.
        """


@dataclass(frozen=True)
class Options:
    """Options of a source beside its path."""

    tracer: str = "raster"
    """A row of `tracing.TRACERS`, for sources that trace."""
    device: str = "auto"
    """Torch device, or `auto` for the first GPU."""


@dataclass(frozen=True)
class SourceKind:
    """One kind of source, a row of `source_table.SOURCES`."""

    name: str
    description: str
    """What its paths are, for error messages."""
    matches: Callable[[str], bool]
    """Whether a path is of this kind."""
    open: Callable[[str, GroundTruth, Options], AbstractContextManager[PredictionSource]]
    """Opens the source of a path, for a dataset."""
