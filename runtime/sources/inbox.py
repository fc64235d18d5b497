"""Inbox: where a source's thread leaves observations and the player's loop takes them; bounded, never blocking."""

from __future__ import annotations

import threading
from collections import Counter, deque
from time import monotonic

from .observation import Arrival, Observation

ROOM = 256
"""Observations kept between two looks: four seconds of 60 a second."""


class Inbox:
    """What a live source puts in, in order of arrival; the oldest is thrown away when it is full.

    Every way in which a packet can end is counted: `received` (well-formed), `lost` (by their
    numbers), `malformed`, `empty` (no face in it), `repeated`, `foreign` (another sender's),
    `overflowed`, `early` (before the first frame could be drawn), and what the motion adds.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Arrival] = deque(maxlen=ROOM)
        self.counts: Counter[str] = Counter()
        self.ended = threading.Event()
        """Set when nothing will come any more."""
        self.trouble: Exception | None = None
        """Why it ended, where that is an error to be told."""

    def put(self, observation: Observation, arrived: float | None = None) -> None:
        """Leave an observation; `arrived` is now where it is left out."""
        with self._lock:
            self.counts["received"] += 1
            self.counts["overflowed"] += len(self._waiting) == ROOM
            self._waiting.append(Arrival(observation, monotonic() if arrived is None else arrived))

    def count(self, what: str, number: int = 1) -> None:
        """Count packets that are no observation."""
        with self._lock:
            self.counts[what] += number

    def take(self) -> list[Arrival]:
        """Everything that came since the last look, in order of arrival."""
        with self._lock:
            taken = list(self._waiting)
            self._waiting.clear()
            return taken
