"""GroundTruth: what evaluation asks of a dataset; `FaceDataset` is one."""

from __future__ import annotations

from typing import Protocol

from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.tracks import FlameTrack

from .metric import Image, Mask, Points


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
