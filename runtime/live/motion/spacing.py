"""Spacing: how many seconds lie between two new faces of a source, from their own times."""

from __future__ import annotations

from collections import deque

GAPS, ENOUGH = 31, 8
"""Gaps kept, and how many tell something."""

SHORTEST, LONGEST = 1e-3, 0.5
"""Seconds; what is longer is a pause."""

PULL = 0.05
"""Share of the difference by which each face moves the answer: it creeps, because the delay hangs on it."""


class Spacing:
    """`note` every face that is taken; `interval` is then in seconds."""

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self._newest: float | None = None
        self._gaps: deque[float] = deque(maxlen=GAPS)

    def forget(self) -> None:
        """The times are of another clock from now on."""
        self._newest = None

    def note(self, time: float, new: bool = True) -> None:
        """A face was captured then, in the order of arrival; the gap before one that is not `new` tells nothing."""
        if self._newest is not None and time <= self._newest:
            return
        if self._newest is not None and new and SHORTEST <= time - self._newest <= LONGEST:
            self._gaps.append(time - self._newest)
        self._newest = time
        if len(self._gaps) >= ENOUGH:
            # losses and disorder only lengthen gaps, so the truth is among the shorter half
            self.interval += PULL * (sorted(self._gaps)[len(self._gaps) // 3] - self.interval)
