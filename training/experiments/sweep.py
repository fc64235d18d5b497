"""Sweep: a motion of one expression from one end of its range to the other, seen by a still camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.camera import Camera
from imavatar_deploy.conventions import EXPRESSION_SIZE, POSE_SIZE
from imavatar_deploy.errors import InternalError
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.tracks import FlameTrack

from ..evaluation.source import Truth

RANGE = (-4.0, 4.0)
"""Of a FLAME expression coefficient (supplementary, section 1.7)."""
UNIT_RANGES = {"openhead": (0.0, 1.0)}
"""Head models whose coefficients are shares of a whole movement instead of standard deviations."""


def natural_range(edition: str) -> tuple[float, float]:
    """Lowest and highest value of an expression coefficient of a head model."""
    return UNIT_RANGES.get(edition, RANGE)


def sweep_track(head: HeadModel, expression: int, frames: int, camera: Camera) -> FlameTrack:
    """From the lowest value to the highest, all else neutral.

    Args:
        expression: counted from 0.
    """
    codes = np.zeros((frames, EXPRESSION_SIZE), dtype=np.float32)
    codes[:, expression] = values(head.edition, frames)
    pose = np.zeros((frames, POSE_SIZE), dtype=np.float32)
    return FlameTrack(codes, pose, (camera,) * frames, edition=head.edition)


def joined(tracks: Sequence[FlameTrack]) -> FlameTrack:
    """One after the other."""
    return FlameTrack(
        np.concatenate([track.expression for track in tracks]),
        np.concatenate([track.pose for track in tracks]),
        tuple(camera for track in tracks for camera in track.cameras),
        edition=tracks[0].edition,
    )


def values(edition: str, frames: int) -> NDArray[np.float32]:
    """[frames] evenly spread over the natural range."""
    return np.linspace(*natural_range(edition), frames, dtype=np.float32)


@dataclass(frozen=True)
class SweepFrames:
    """A motion without images, for sources that only ask what drives an avatar."""

    track: FlameTrack
    size: int
    head: HeadModel

    def __len__(self) -> int:
        return len(self.track)

    def observation(self, index: int) -> Truth:
        """There are none."""
        raise InternalError("a sweep of expressions has no ground truth")
