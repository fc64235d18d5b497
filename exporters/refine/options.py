"""RefineSettings: options of the refinement on images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from imavatar_deploy.errors import UsageError

DEFAULT_STEPS = 3000
"""Default number of steps of the refinement."""

DEFAULT_SIZE = 512
"""Default side of the pictures that the student is refined on, pixels."""

SIZES = (64, 2048)
"""Smallest and largest side of these pictures, pixels."""


@dataclass(frozen=True)
class RefineSettings:
    """Options of the refinement on images.

    Raises:
        UsageError: an option has an invalid value.
    """

    dataset: tuple[Path, ...]
    """Videos of the subject, as `imavatar_deploy.training.FaceDataset.open` takes them."""
    steps: int = DEFAULT_STEPS
    """Number of steps of the optimiser."""
    size: int = DEFAULT_SIZE
    """Side to which the pictures are resized, pixels."""
    frames: slice | None = None
    """Selection from all frames; None for all."""
    poses: bool = False
    """Whether pose, expression and camera of each frame are refined, too, for the fit alone.

    It takes about half a second a frame, and pays where the tracking is inexact.
    """
    seed: int = 0
    """Seed of the random choices; the same seed gives the same student."""

    def __post_init__(self) -> None:
        if not self.dataset:
            raise UsageError("a refinement needs a dataset: the folder of one or more videos")
        if self.steps < 1:
            raise UsageError(f"a refinement must have 1 step or more, got {self.steps}")
        if not SIZES[0] <= self.size <= SIZES[1]:
            raise UsageError(
                f"pictures of a refinement must have {SIZES[0]} to {SIZES[1]} pixels a side, "
                f"got {self.size}"
            )
