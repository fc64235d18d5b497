"""Latencies: percentiles of any number of durations in a memory that does not grow."""

from __future__ import annotations

import math

import numpy as np

from ..timing import PERCENTILES

BIN = 1e-4
"""Seconds: what percentiles are rounded up to."""

BINS = 50_000
"""Up to five seconds; what takes longer is counted as longer."""


class Latencies:
    """A histogram of durations."""

    def __init__(self) -> None:
        self._bins = np.zeros(BINS + 1, dtype=np.int64)

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self._bins[min(max(int(seconds / BIN), 0), BINS)] += 1

    def __len__(self) -> int:
        return int(self._bins.sum())

    def percentile(self, q: float) -> float:
        """Seconds below which `q` percent of the durations lie; 0 where there are none.

        Infinite where that is beyond the bins.
        """
        if not len(self):
            return 0.0
        rank = max(1, int(np.ceil(q / 100 * len(self))))
        place = int(np.searchsorted(np.cumsum(self._bins), rank))
        return (place + 1) * BIN if place < BINS else math.inf

    def __str__(self) -> str:
        if not len(self):
            return "-"
        return ", ".join(f"p{q} {milliseconds(self.percentile(q))}" for q in PERCENTILES)


def milliseconds(seconds: float) -> str:
    """`16.7 ms`; a duration beyond the bins is `over 5000 ms`."""
    return f"{1e3 * seconds:.1f} ms" if seconds < math.inf else f"over {1e3 * BIN * BINS:.0f} ms"
