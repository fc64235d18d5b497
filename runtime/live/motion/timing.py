"""SenderClock: the sender's time of any moment here, from when its packets arrive; no clock is read.

A packet's delay is (arrived - sent): the two clocks' difference and the way it took. The fastest packets of the last
seconds took the shortest way, so the least delay is the clocks' difference and a constant (NTP's minimum filter). It is
followed gently, which is also what a drift of the clocks needs: time passes a little slower or faster, it never steps.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]

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
    """`add_packet` every packet, ask `at` in any order; times of both clocks in seconds."""

    def __init__(self) -> None:
        self.restarts = 0
        """How often another clock was taken over."""
        self._least: deque[tuple[float, float]] = (
            deque()
        )  # (arrived, delay), delays growing: the first is the least
        self._strange: list[tuple[float, float]] = []
        self._delay = 0.0
        self._began = self._now = -math.inf

    def add_packet(self, sent: float, arrived: float) -> bool:
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


# Trust: whether a sender's own times can be used; some count the frames of a second in something else.


BACKWARDS = 0.25
"""Seconds: further than any network turns packets round."""

TIMES, WITHIN = 3, 5.0
"""So often in so many seconds, and the times are no clock's: a sender that begins again goes back once."""


class TimestampValidator:
    """Hears every packet's time; once it is lost, trust does not come back."""

    def __init__(self) -> None:
        self.lost = False
        self._newest: float | None = None
        self._turns: deque[float] = deque(maxlen=TIMES)  # when it went backwards

    def add_packet(self, sent: float, arrived: float) -> None:
        """Learn from a packet: its own time, and when it came."""
        if self._newest is not None and sent < self._newest - BACKWARDS:
            self._turns.append(arrived)
            self.lost |= len(self._turns) == TIMES and arrived - self._turns[0] <= WITHIN
        self._newest = sent


# Pace: even moments for packets that say no time, from when they arrive and how often (a phase-locked loop).


TIME_GAIN = 0.1
"""Share of a packet's earliness or lateness by which the beat is shifted: jitter of 40 ms is felt as 4."""

INTERVAL_GAIN = 0.005
"""Share of it by which the interval is changed; small, so that the loop does not swing."""

SLIPPED = 4.0
"""Intervals off the beat, and it begins anew: the stream stood still."""


class ArrivalClock:
    """`moment` of one packet after the other, in order of arrival; everything in seconds here."""

    def __init__(self, interval: float) -> None:
        self.interval = interval
        """Seconds between two packets, as learned so far."""
        self._bounds = interval / 4, interval * 4
        self._last: float | None = None
        self._sequence: int | None = None

    def moment(self, arrived: float, sequence: int | None = None) -> float:
        """When what a packet shows was probably seen, give or take a constant; the same for the same `sequence`."""
        if self._last is None:
            return self._keep(arrived, sequence)
        steps = self._steps(arrived, sequence)
        expected = self._last + steps * self.interval
        error = arrived - expected
        if abs(error) > SLIPPED * self.interval:
            return self._keep(arrived, sequence)
        if steps <= 0:  # an older packet, or the same again
            return expected
        low, high = self._bounds
        self.interval = min(max(self.interval + INTERVAL_GAIN * error / steps, low), high)
        return self._keep(expected + TIME_GAIN * error, sequence)

    def _steps(self, arrived: float, sequence: int | None) -> int:
        assert self._last is not None
        if sequence is not None and self._sequence is not None:
            return sequence - self._sequence
        return max(1, round((arrived - self._last) / self.interval))

    def _keep(self, moment: float, sequence: int | None) -> float:
        self._last, self._sequence = moment, sequence
        return moment


# Spacing: how many seconds lie between two new faces of a source, from their own times.


GAPS, ENOUGH = 31, 8
"""Gaps kept, and how many tell something."""

SHORTEST, LONGEST = 1e-3, 0.5
"""Seconds; what is longer is a pause."""

SPACING_GAIN = 0.05
"""Share of the difference by which each face moves the answer: it creeps, because the delay hangs on it."""


class IntervalEstimator:
    """`note` every face that is taken; `interval` is then in seconds."""

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self._newest: float | None = None
        self._gaps: deque[float] = deque(maxlen=GAPS)

    def reset(self) -> None:
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
            self.interval += SPACING_GAIN * (
                sorted(self._gaps)[len(self._gaps) // 3] - self.interval
            )


# Copies: faces that a sender repeats because it sends faster than the tracker behind it measures.
#
# A copy states that the face stood still, which it did not; motion between copies would go by starts and stops. The
# filter separates copies from faces that really stand still, which do so for longer, and from the rare equal
# neighbours of a motion.


HABIT, LEARNS = 0.3, 0.05
"""Share of faces that equal the one before in a sender of that kind, and how fast it is learnt."""

STILL = 2.5
"""Intervals: what has not changed for longer really stands still."""


class DuplicateFilter:
    """`classify` every face, in order of arrival."""

    def __init__(self) -> None:
        self._face: tuple[Float, Float] | None = None
        self._since = -math.inf
        self._share = 0.0

    def reset(self) -> None:
        """The times are of another clock from now on."""
        self._since = -math.inf

    def classify(self, weights: Float, pose: Float, time: float, interval: float) -> str:
        """`new`, `still` (the same as before, to the last bit), or `copy`.

        Args:
            weights: as observed.
            pose: as observed.
            time: when, in the sender's seconds.
            interval: seconds between two new faces.
        """
        before, self._face = self._face, (weights, pose)
        same = (
            before is not None
            and np.array_equal(before[0], weights)
            and np.array_equal(before[1], pose)
        )
        self._share += LEARNS * (same - self._share)
        if not same:
            self._since = time
            return "new"
        return (
            "copy" if self._share > HABIT and 0 < time - self._since < STILL * interval else "still"
        )
