"""Tracks that sweep one expression through its range, before a fixed camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.camera import Camera
from imavatar_deploy.conventions import EXPRESSION_SIZE, POSE_SIZE
from imavatar_deploy.errors import InternalError
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.tracks import FlameTrack

from ..evaluation.interfaces import Truth

FLAME_RANGE = (-4.0, 4.0)
"""Range of a FLAME expression coefficient (supplementary, section 1.7)."""
UNIT_RANGES = {"openhead": (0.0, 1.0)}
"""Ranges of head models whose coefficients are not standard deviations: 1 is a whole movement."""


def natural_range(edition: str) -> tuple[float, float]:
    """Lowest and highest value of an expression coefficient of a head model's edition."""
    return UNIT_RANGES.get(edition, FLAME_RANGE)


def sweep_track(head: HeadModel, expression: int, frames: int, camera: Camera) -> FlameTrack:
    """Return a track of one expression from its lowest value to the highest, all else neutral.

    Args:
        expression: index of the expression, from 0.
    """
    codes = np.zeros((frames, EXPRESSION_SIZE), dtype=np.float32)
    codes[:, expression] = sweep_values(head.edition, frames)
    pose = np.zeros((frames, POSE_SIZE), dtype=np.float32)
    return FlameTrack(codes, pose, (camera,) * frames, edition=head.edition)


def concatenate(tracks: Sequence[FlameTrack]) -> FlameTrack:
    """Concatenate tracks of one head model."""
    return FlameTrack(
        np.concatenate([track.expression for track in tracks]),
        np.concatenate([track.pose for track in tracks]),
        tuple(camera for track in tracks for camera in track.cameras),
        edition=tracks[0].edition,
    )


def sweep_values(edition: str, frames: int) -> Float32[Array, " T"]:
    """Values evenly spread over the natural range."""
    return np.linspace(*natural_range(edition), frames, dtype=np.float32)


@dataclass(frozen=True)
class SweepFrames:
    """A track without images, for sources that need the motion alone."""

    track: FlameTrack
    size: int
    head: HeadModel

    def __len__(self) -> int:
        return len(self.track)

    def observation(self, index: int) -> Truth:
        """Raise InternalError: there are no images."""
        raise InternalError("a sweep of expressions has no ground truth")
