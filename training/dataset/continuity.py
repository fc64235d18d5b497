"""A picture that is unlike the ones before and after it, which are like each other, while its pose is not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.tracks.track import FlameTrack

from .sketch import THUMB, Sketch

Double = NDArray[np.float64]

JUMP = 2.0
"""How many times further than its neighbours are apart a picture must be from both of them."""

UNUSUAL = 2.5
"""How many times further than most pictures of the video are from their neighbours."""


NOTICEABLE = 0.04
"""Root mean square of grey below which pictures do not count as unlike: an untracked blink is 0.02."""


def strangers(sketches: Sequence[Sketch], track: FlameTrack) -> list[int]:
    """Indices of sketches that interrupt a motion which their pose continues."""
    if len(sketches) < 3:
        return []
    pictures = np.stack([sketch.thumb.ravel() for sketch in sketches]).astype(np.float64)
    poses = np.stack([_code(track, sketch.place) for sketch in sketches])
    away, across = _leaps(pictures)
    pose_away, pose_across = _leaps(poses)
    picture_leaps = (away > JUMP * across) & (away > np.maximum(UNUSUAL * np.median(away), NOTICEABLE * THUMB))
    pose_leaps = pose_away > JUMP * pose_across
    return [int(index) + 1 for index in np.flatnonzero(picture_leaps & ~pose_leaps)]


def _code(track: FlameTrack, place: int) -> Double:
    translation = track.cameras[place].world_to_camera[:, 3]
    code = np.concatenate([track.pose[place], 0.2 * track.expression[place], translation])
    return np.asarray(code, dtype=np.float64)


def _leaps(values: Double) -> tuple[Double, Double]:
    """Of every frame but the first and last: distance to the nearer neighbour, and between the neighbours."""
    steps = np.linalg.norm(np.diff(values, axis=0), axis=1)
    return np.minimum(steps[:-1], steps[1:]), np.linalg.norm(values[2:] - values[:-2], axis=1) + 1e-9
