"""SenderClock: the sender's time of any moment here, from when its packets arrive; no clock is read.

A packet's delay is (arrived - sent): the two clocks' difference and the way it took. The fastest packets of the last
seconds took the shortest way, so the least delay is the clocks' difference and a constant (NTP's minimum filter). It is
followed gently, which is also what a drift of the clocks needs: time passes a little slower or faster, it never steps.
"""

from __future__ import annotations

import math
from collections import deque

WINDOW = 3.0
"""Seconds of packets of which the fastest counts: 90 at 30 a second, and 200 ppm of drift are then 0.6 ms."""

FOLLOWS = 1.0
"""Seconds in which most of a change is followed: 40 ms by running 4 % fast, which nobody sees."""

FOLLOWS_AT_FIRST = 0.1
"""The first packet may have been a slow one; what follows tells soon."""

JUMP = 0.25
"""Seconds off, and a packet belongs to another clock: the sender began again, or was set."""

SURE_PACKETS, SURE_SECONDS = 3, 0.1
"""So many, over so long, must agree on another clock; a held-up burst that arrives at once does not."""


class SenderClock:
    """`hear` every packet, ask `at` in any order; times of both clocks in seconds."""

    def __init__(self) -> None:
        self.restarts = 0
        """How often another clock was taken over."""
        self._least: deque[tuple[float, float]] = deque()  # (arrived, delay), delays growing: the first is the least
        self._strange: list[tuple[float, float]] = []
        self._delay = 0.0
        self._began = self._now = -math.inf

    def hear(self, sent: float, arrived: float) -> bool:
        """Learn from a packet; whether its time is of the clock that `at` tells."""
        delay = arrived - sent
        if not self._least:
            self._begin(delay, arrived)
        elif abs(delay - self._least[0][1]) > JUMP:
            if not self._is_sure(delay, arrived):
                return False
            self.restarts += 1
            self._begin(delay, arrived)
        self._strange.clear()
        self._note(delay, arrived)
        return True

    def at(self, now: float) -> float:
        """The sender's time at the moment `now` here, as a packet of the shortest way would bring it."""
        if now > self._now and self._least:
            patience = min(FOLLOWS, max(FOLLOWS_AT_FIRST, (now - self._began) / 2))
            share = 1.0 - math.exp((self._now - now) / patience)
            self._delay += share * (self._least[0][1] - self._delay)
            self._now = now
        return now - self._delay

    def local(self, sent: float) -> float:
        """The moment here of a sender's time."""
        return sent + self._delay

    def _begin(self, delay: float, arrived: float) -> None:
        self._least.clear()
        self._delay = delay
        self._began = arrived
        self._now = max(arrived, self._now)

    def _note(self, delay: float, arrived: float) -> None:
        while self._least and self._least[-1][1] >= delay:
            self._least.pop()
        self._least.append((arrived, delay))
        while self._least[0][0] < arrived - WINDOW:
            self._least.popleft()

    def _is_sure(self, delay: float, arrived: float) -> bool:
        if self._strange and abs(delay - self._strange[0][1]) > JUMP:
            self._strange.clear()
        self._strange.append((arrived, delay))
        return len(self._strange) >= SURE_PACKETS and arrived - self._strange[0][0] >= SURE_SECONDS
