"""Input of the fit of a sequence: checks, steps in time, keyframes, interpolation."""

from __future__ import annotations

from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Float64, Int64
from imavatar_deploy.checks import ensure_shape
from imavatar_deploy.errors import InputError

NOMINAL_STEP = 0.04
"""Seconds between frames for which the published temporal weights hold (25 frames a second)."""


def checked_landmarks(landmarks: Any, count: int) -> Float64[Array, "T L 2"]:
    """Return columns and rows of the landmarks, of which a frame must have `count`.

    Raises:
        InputError: they have another shape.
    """
    values = np.asarray(landmarks, dtype=np.float64)
    if (
        values.ndim != 3
        or values.shape[0] == 0
        or values.shape[1] != count
        or values.shape[2] not in (2, 3)
    ):
        raise InputError(
            f"landmarks must have shape [T, {count}, 2] or [T, {count}, 3] with T of 1 or more, "
            f"got {list(values.shape)}"
        )
    return values[..., :2]


def time_steps(times: Any, count: int) -> Float64[Array, " T"]:
    """Return the seconds since the frame before; the nominal ones where there are no times.

    Raises:
        InputError: times are not ascending.
    """
    if times is None:
        return np.full(count, NOMINAL_STEP)
    values = np.asarray(times, dtype=np.float64)
    ensure_shape("times", values, (count,))
    steps = np.diff(values, prepend=values[0] - NOMINAL_STEP)
    if not np.isfinite(values).all() or (steps <= 0).any():
        raise InputError("times must be finite and ascending, in seconds")
    return steps


def spread_out(values: Array, count: int) -> Int64[Array, " n"]:
    """Return at most `count` indices, evenly spaced."""
    return np.unique(np.linspace(0, len(values) - 1, min(count, len(values))).round().astype(int))


def key_frames(
    frames: Float64[Array, "T D"], weights: Float64[Array, "T L"], count: int
) -> Int64[Array, " n"]:
    """Return frames whose head poses differ most: each is the farthest from those before it."""
    usable = np.nonzero(weights.sum(axis=1) > 0.5 * weights.sum(axis=1).max())[0]
    turns = frames[usable][:, [53, 54, 55, 56]] * [1.0, 1.0, 0.5, 2.0]
    distance = np.linalg.norm(turns - np.median(turns, axis=0), axis=1)
    chosen = [int(distance.argmin())]
    nearest = np.linalg.norm(turns - turns[chosen[0]], axis=1)
    while len(chosen) < min(count, len(usable)):
        following = int(nearest.argmax())
        if nearest[following] <= 0:
            break
        chosen.append(following)
        nearest = np.minimum(nearest, np.linalg.norm(turns - turns[following], axis=1))
    return np.sort(usable[chosen]).astype(np.int64)


def interpolated(frames: Float64[Array, "T D"], present: Array) -> Float64[Array, "T D"]:
    """Fill frames without landmarks between their neighbours."""
    index = np.arange(len(frames))
    known = index[present]
    columns = [np.interp(index, known, column) for column in frames[present].T]
    return np.stack(columns, axis=1)
