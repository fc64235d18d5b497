"""Are all pictures of a video shifted against their poses? Told by when they move, not by where they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .sketch import Sketch

Double = NDArray[np.float64]

LAGS = tuple(range(-5, 6))
"""Frames by which pictures may lead (negative) or trail their poses."""

FEW = 16
"""Fewer frames than this do not tell."""

SURE = 0.9
"""Correlation of a measure's steps in picture and pose above which it is believed."""

BETTER = 0.5
"""Another lag is believed when it leaves less than this share of what does not correlate without."""


def lag(sketches: Sequence[Sketch]) -> int:
    """By how many frames the pictures trail their poses (negative: lead), or 0 where that is not sure."""
    if len(sketches) < FEW:
        return 0
    seen, posed = (np.diff([getattr(sketch, side) for sketch in sketches], axis=0) for side in ("seen", "posed"))
    table = np.stack([_correlation(*_moved(seen, posed, steps)) for steps in LAGS])  # [lags, measures]
    apart = (1.0 - table[:, table.max(axis=0) > SURE]).sum(axis=1)
    best = int(apart.argmin())
    return LAGS[best] if apart[best] < BETTER * apart[LAGS.index(0)] else 0


def _moved(seen: Double, posed: Double, steps: int) -> tuple[Double, Double]:
    """The rows t + steps of `seen` beside the rows t of `posed`."""
    count = len(seen)
    return seen[max(0, steps) : count + min(0, steps)], posed[max(0, -steps) : count - max(0, steps)]


def _correlation(a: Double, b: Double) -> Double:
    """Of each column; 0 where one does not move or is not known."""
    spread = np.sqrt((a * a).sum(axis=0, dtype=np.float64) * (b * b).sum(axis=0, dtype=np.float64))
    known = np.isfinite(spread) & (spread > 0)
    return np.where(known, np.nan_to_num((a * b).sum(axis=0)) / np.where(known, spread, 1.0), 0.0)
