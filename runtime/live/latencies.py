"""Latencies: percentiles of any number of durations in a memory that does not grow."""

from __future__ import annotations

import numpy as np

from ..timing import PERCENTILES

BIN = 1e-4
"""Seconds: what percentiles are rounded up to."""

BINS = 50_000
"""Up to five seconds; what takes longer counts as that."""


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
        """Seconds below which `q` percent of the durations lie; 0 where there are none."""
        if not len(self):
            return 0.0
        rank = max(1, int(np.ceil(q / 100 * len(self))))
        return float(np.searchsorted(np.cumsum(self._bins), rank) + 1) * BIN

    def __str__(self) -> str:
        if not len(self):
            return "-"
        return ", ".join(f"p{q} {1e3 * self.percentile(q):.1f} ms" for q in PERCENTILES)
