"""Do pictures and poses belong together? Swapped and misplaced frames, from the sketches of one video."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .sketch import Sketch

Double = NDArray[np.float64]

NEIGHBOURS = 4
"""Frames to each side whose median says how picture and pose usually differ around a frame."""

OUTLIER = 8.0
"""Times the usual deviation that a frame must exceed to be called a misfit."""

LEAST_MISFIT = 0.025
"""Fraction of the picture below which nothing is called a misfit: trackers and mattes wobble."""

LOST = 0.2
"""How much less of the head than in the frames around lies within the mask of a misfit."""

FEW = 8
"""Fewer frames than this do not tell what is usual."""


def misfits(sketches: Sequence[Sketch]) -> list[int]:
    """Indices of sketches whose picture does not fit their pose as the pictures around them fit theirs."""
    if len(sketches) < FEW:
        return []
    deviation = _from_neighbours(_offsets(sketches))
    usual = np.nanmedian(np.where(np.isnan(deviation).all(axis=0), 0.0, deviation), axis=0)
    limit = np.maximum(OUTLIER * usual, LEAST_MISFIT)
    inside = np.array([sketch.inside for sketch in sketches])[:, None]
    lost = _signed_from_neighbours(inside)[:, 0] < -LOST
    return [int(index) for index in np.flatnonzero((deviation > limit).any(axis=1) | lost)]


def partner(sketches: Sequence[Sketch], index: int, others: Sequence[int]) -> int | None:
    """Which other misfit's picture fits the pose of this one, if any: those two were swapped."""
    usual = _median(_offsets(sketches))
    apart = {
        other: float(np.nanmax(np.abs(sketches[other].seen - sketches[index].posed - usual), initial=0.0))
        for other in others
        if other != index
    }
    best = min(apart, key=apart.__getitem__, default=None)
    return best if best is not None and apart[best] < 2 * LEAST_MISFIT else None


def _offsets(sketches: Sequence[Sketch]) -> Double:
    """[T, 5] how much further right and down the picture is than the pose says."""
    return np.array([sketch.seen - sketch.posed for sketch in sketches], dtype=np.float64)


def _from_neighbours(values: Double) -> Double:
    return np.abs(_signed_from_neighbours(values))


def _signed_from_neighbours(values: Double) -> Double:
    """[T, K] less the median of the NEIGHBOURS before and after; NaN where nothing is known."""
    return np.stack([row - _median(_around(values, index)) for index, row in enumerate(values)])


def _around(values: Double, index: int) -> Double:
    return np.concatenate([values[max(0, index - NEIGHBOURS) : index], values[index + 1 : index + 1 + NEIGHBOURS]])


def _median(values: Double) -> Double:
    """Over frames, of the columns that have any value; NaN for the others."""
    empty = np.isnan(values).all(axis=0)
    return np.where(empty, np.nan, np.nanmedian(np.where(empty, 0.0, values), axis=0))
