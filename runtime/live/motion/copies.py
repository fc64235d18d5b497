"""Copies: faces that a sender sends again because it is faster than the tracker behind it.

A copy says that the face stood still, which it did not; motion between copies would go by starts and stops. So they are
told from faces that really stand still, which do so for longer, and from the rare equal neighbours of a motion.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]

HABIT, LEARNS = 0.3, 0.05
"""Share of faces that equal the one before in a sender of that kind, and how fast it is learnt."""

STILL = 2.5
"""Intervals: what has not changed for longer really stands still."""


class Copies:
    """`judge` every face, in order of arrival."""

    def __init__(self) -> None:
        self._face: tuple[Float, Float] | None = None
        self._since = -math.inf
        self._share = 0.0

    def forget(self) -> None:
        """The times are of another clock from now on."""
        self._since = -math.inf

    def judge(self, weights: Float, pose: Float, time: float, interval: float) -> str:
        """`new`, `still` (the same as before, to the last bit), or `copy`.

        Args:
            weights: as observed.
            pose: as observed.
            time: when, in the sender's seconds.
            interval: seconds between two new faces.
        """
        before, self._face = self._face, (weights, pose)
        same = before is not None and np.array_equal(before[0], weights) and np.array_equal(before[1], pose)
        self._share += LEARNS * (same - self._share)
        if not same:
            self._since = time
            return "new"
        return "copy" if self._share > HABIT and 0 < time - self._since < STILL * interval else "still"
