"""Trust: whether a sender's own times can be used; some count the frames of a second in something else."""

from __future__ import annotations

from collections import deque

BACKWARDS = 0.25
"""Seconds: further than any network turns packets round."""

TIMES, WITHIN = 3, 5.0
"""So often in so many seconds, and the times are no clock's: a sender that begins again goes back once."""


class Trust:
    """Hears every packet's time; once it is lost, trust does not come back."""

    def __init__(self) -> None:
        self.lost = False
        self._newest: float | None = None
        self._turns: deque[float] = deque(maxlen=TIMES)  # when it went backwards

    def hear(self, sent: float, arrived: float) -> None:
        """Learn from a packet: its own time, and when it came."""
        if self._newest is not None and sent < self._newest - BACKWARDS:
            self._turns.append(arrived)
            self.lost |= len(self._turns) == TIMES and arrived - self._turns[0] <= WITHIN
        self._newest = sent
