"""A motion at another frame rate: expressions blended, bones turned along the shortest way; it keeps its speed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.errors import UsageError
from imavatar_deploy.kinematics import axis_angles, quaternions
from imavatar_deploy.tracks.track import FlameTrack

Float = NDArray[np.float32]
Double = NDArray[np.float64]

FASTEST = 1000.0
"""Frames a second."""

EARLY = 1e-6
"""Fraction of a frame: rounding must not put a tick beside the frame it falls on."""


def checked_rate(fps: float) -> float:
    """The frames a second that were asked for.

    Raises:
        UsageError: `fps` is not in 0..1000.
    """
    if not 0 < fps <= FASTEST:
        raise UsageError(f"--fps must be more than 0 and at most {FASTEST:.0f}, got {fps}")
    return fps


def retimed(track: FlameTrack, fps: float) -> FlameTrack:
    """The same motion at `fps` frames a second, from its first frame and never past its last.

    A tick that falls on a frame is that frame, bit for bit. Between two, the expression is blended linearly and each
    bone's rotation spherically; the camera and the name are those of the frame before.

    Raises:
        UsageError: `fps` is not in 0..1000.
    """
    if checked_rate(fps) == track.fps:
        return track
    last = len(track) - 1
    place = np.arange(int(last * fps / track.fps + EARLY) + 1) * (track.fps / fps)
    before = np.minimum((place + EARLY).astype(int), last)
    share = place - before
    share[share < EARLY] = 0.0
    after = np.minimum(before + 1, last)
    weight = share.astype(np.float32)[:, None]
    expression = (1 - weight) * track.expression[before] + weight * track.expression[after]
    turned = _slerp(track.pose[before], track.pose[after], share)
    return replace(
        track,
        expression=np.where(weight > 0, expression, track.expression[before]),
        pose=np.where(weight > 0, turned, track.pose[before]),
        cameras=tuple(track.cameras[index] for index in before) if track.cameras else (),
        names=tuple(track.names[index] for index in before),
        fps=fps,
    )


def _slerp(first: Float, second: Float, share: Double) -> Float:
    """[T, 3 B] axis-angles `share` `[T]` of the way from `first` to `second`, each bone on its own great circle."""
    a, b = quaternions(first), quaternions(second)
    cosine = (a * b).sum(axis=-1, keepdims=True)
    b, cosine = np.where(cosine < 0, -b, b), np.minimum(np.abs(cosine), 1.0)
    angle, way = np.arccos(cosine), share[:, None, None]
    sine = np.sin(angle)
    near = sine < 1e-6  # where the arc is a straight line
    safe = np.where(near, 1.0, sine)
    start = np.where(near, 1.0 - way, np.sin((1.0 - way) * angle) / safe)
    end = np.where(near, way, np.sin(way * angle) / safe)
    return axis_angles(start * a + end * b).astype(np.float32)
