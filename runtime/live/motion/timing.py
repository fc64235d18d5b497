"""Times of packets: the sender's clock, arrival times in its place, intervals, and duplicates.

No clock is read here: every function receives its times, in seconds.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

import numpy as np

from imavatar_deploy.arrays import Array, Float32

# Sender's clock: the sender's time of any moment here, from the arrival of its packets
#
# The delay of a packet, (arrived - sent), is the difference of the two clocks plus the time on the
# way. The fastest packets of the last seconds took the shortest way, so the least delay is the
# difference of the clocks plus a constant (NTP's minimum filter). The clock follows it gently,
# which a drift of the clocks needs as well: time passes a little slower or faster, it never steps.
#
#     following   packets agree with the least delay to within JUMP_SECONDS; the estimate moves
#                 towards it
#     doubting    a packet is off by more than JUMP_SECONDS: it is rejected, and its delay is stored
#     restart     RESTART_PACKETS in a row over RESTART_SECONDS agree on another delay: the sender
#                 restarted, or its clock was set; that delay is used at once

MINIMUM_WINDOW_SECONDS = 3.0
"""Length of the minimum filter, seconds: 90 packets at 30 a second; a drift of 200 ppm adds 0.6
ms."""

FOLLOW_SECONDS = 1.0
"""Time constant of the estimate, seconds: it corrects 40 ms by running 4 % fast, which is not
visible."""

FIRST_FOLLOW_SECONDS = 0.1
"""Time constant at the start, seconds: the first packet may have been a slow one."""

JUMP_SECONDS = 0.25
"""Seconds of disagreement beyond which a packet belongs to another clock."""

RESTART_PACKETS = 3
RESTART_SECONDS = 0.1
"""Packets, and seconds from the first to the last of them, that must agree on another clock; those
of a delayed burst do not."""


class SenderClock:
    """Converts between local time and a sender's. Call `add_packet` with every packet."""

    def __init__(self) -> None:
        self.restarts = 0
        """Number of times that the sender's clock was replaced."""
        # (arrived, delay), delays growing: the first is the least
        self._least: deque[tuple[float, float]] = deque()
        self._outliers: list[tuple[float, float]] = []
        self._delay = 0.0
        self._start = self._now = -math.inf

    def add_packet(self, sent: float, arrived: float) -> bool:
        """Learn from a packet; return whether its time is of the clock that `at` follows."""
        delay = arrived - sent
        if not self._least:
            self._restart(delay, arrived)
        elif abs(delay - self._least[0][1]) > JUMP_SECONDS:
            if not self._is_sure(delay, arrived):
                return False
            self.restarts += 1
            self._restart(delay, arrived)
        self._outliers.clear()
        self._add_delay(delay, arrived)
        return True

    def forget(self) -> None:
        """Take over the clock of the next packet, whatever it is."""
        self._least.clear()
        self._outliers.clear()

    def at(self, now: float) -> float:
        """The sender's time at the local time `now`, in any order; a packet's without its way."""
        if now > self._now and self._least:
            patience = min(FOLLOW_SECONDS, max(FIRST_FOLLOW_SECONDS, (now - self._start) / 2))
            share = 1.0 - math.exp((self._now - now) / patience)
            self._delay += share * (self._least[0][1] - self._delay)
            self._now = now
        return now - self._delay

    def local(self, sent: float) -> float:
        """The local time of a sender's time."""
        return sent + self._delay

    def _restart(self, delay: float, arrived: float) -> None:
        self._least.clear()
        self._delay = delay
        self._start = arrived
        self._now = max(arrived, self._now)

    def _add_delay(self, delay: float, arrived: float) -> None:
        while self._least and self._least[-1][1] >= delay:
            self._least.pop()
        self._least.append((arrived, delay))
        while self._least[0][0] < arrived - MINIMUM_WINDOW_SECONDS:
            self._least.popleft()

    def _is_sure(self, delay: float, arrived: float) -> bool:
        if self._outliers and abs(delay - self._outliers[0][1]) > JUMP_SECONDS:
            self._outliers.clear()
        self._outliers.append((arrived, delay))
        return (
            len(self._outliers) >= RESTART_PACKETS
            and arrived - self._outliers[0][0] >= RESTART_SECONDS
        )


# Validity of timestamps: some senders count the frames of a second in something else
#
# Milliseconds, numbers of frames, clocks that stand still and 30 frames a second that call
# themselves 60 do not pass as the local time does. Over a window of local time, the sender's time
# must have passed by a share within the bounds. Networks delay packets, and then the window after
# has the opposite error; a wrong clock has the same error in every window. Trackers' own clocks
# drift by less than a thousandth.

BACKSTEP_SECONDS = 0.25
"""Smallest step backwards that counts, seconds; no network reorders packets by more."""

BACKSTEP_LIMIT = 3
BACKSTEP_WINDOW_SECONDS = 5.0
"""Steps backwards within that many seconds that make timestamps invalid; a sender that restarts
steps back once."""


class PaceWindow(NamedTuple):
    """A window of local time, and the bounds of the sender's time in it."""

    seconds: float
    slowest: float
    """Least share of the local time that may pass on the sender's clock."""
    fastest: float
    in_a_row: int
    """Number of windows in a row, all too slow or all too fast, that show a wrong clock."""


PACE_WINDOWS = (PaceWindow(0.3, 0.6, 1.6, 3), PaceWindow(1.0, 0.85, 1.18, 3))
"""A wrong clock is known within a second, one that is off by a quarter within three."""

STAND_SECONDS = 0.25
"""Seconds for which packets come with one and the same time, after which its clock stands."""

STAND_LIMIT = 2
"""Number of such stands that make timestamps invalid; a tracker may stand once, while it loads."""


class Pace:
    """Compares the sender's time with the local time over one kind of window."""

    def __init__(self, window: PaceWindow) -> None:
        self._window = window
        self._start: tuple[float, float] | None = None  # sent, arrived
        self._run = 0  # windows in a row: negative if too slow, positive if too fast

    def is_wrong(self, sent: float, arrived: float) -> bool:
        """Add a packet; return whether the sender's clock is shown to be wrong."""
        if self._start is None:
            self._start = sent, arrived
        elapsed = arrived - self._start[1]
        if elapsed < self._window.seconds:
            return False
        share = (sent - self._start[0]) / elapsed
        self._start = sent, arrived
        side = int(share > self._window.fastest) - int(share < self._window.slowest)
        self._run = self._run + side if side * self._run > 0 else side
        return abs(self._run) >= self._window.in_a_row


class TimestampValidator:
    """Decides from the time of every packet whether a sender's timestamps can be used."""

    def __init__(self) -> None:
        self.invalid = False
        """Whether the timestamps are unusable; once True, it stays True."""
        self._newest: float | None = None
        self._backsteps: deque[float] = deque(
            maxlen=BACKSTEP_LIMIT
        )  # when each step backwards arrived
        self._paces = [Pace(window) for window in PACE_WINDOWS]
        self._changed = -math.inf  # when the time last changed, or a stand was counted
        self._stands = 0

    def add_packet(self, sent: float, arrived: float, *, numbered: bool = False) -> None:
        """Add a packet.

        Args:
            sent: its own time.
            arrived: its arrival.
            numbered: whether packets have sequence numbers; those of a network that reorders them
                may step back in time.
        """
        wrong = [pace.is_wrong(sent, arrived) for pace in self._paces]
        self.invalid |= any(wrong)
        if sent != self._newest:
            self._changed = arrived
        elif arrived - self._changed >= STAND_SECONDS:
            self._changed = arrived
            self._stands += 1
            self.invalid |= self._stands >= STAND_LIMIT
        if numbered:
            self._newest = sent
            return
        if self._newest is not None and sent < self._newest - BACKSTEP_SECONDS:
            self._backsteps.append(arrived)
            self.invalid |= (
                len(self._backsteps) == BACKSTEP_LIMIT
                and arrived - self._backsteps[0] <= BACKSTEP_WINDOW_SECONDS
            )
        self._newest = sent


# Arrival clock: even times for packets without a timestamp, by a phase-locked loop

TIME_GAIN = 0.1
"""Share of a packet's earliness by which the beat is shifted: jitter of 40 ms becomes 4 ms."""

INTERVAL_GAIN = 0.005
"""Share of it by which the interval is changed; small, so that the loop does not oscillate."""

SLIP_INTERVALS = 4.0
"""Error of an arrival, in intervals, from which the beat starts again: the stream has paused."""


class ArrivalClock:
    """Even times from the arrivals of packets, in order of arrival; local seconds."""

    def __init__(self, interval: float) -> None:
        self.interval = interval
        """Seconds between two packets, as learned so far."""
        self._bounds = interval / 4, interval * 4
        self._last: float | None = None
        self._sequence: int | None = None

    def time_of(self, arrived: float, sequence: int | None = None) -> float:
        """Estimated time of capture, up to a constant; the same for the same `sequence`."""
        if self._last is None:
            return self._store(arrived, sequence)
        steps = self._steps(arrived, sequence)
        expected = self._last + steps * self.interval
        error = arrived - expected
        if abs(error) > SLIP_INTERVALS * self.interval:
            return self._store(arrived, sequence)
        if steps <= 0:  # an older packet, or the same again
            return expected
        low, high = self._bounds
        self.interval = min(max(self.interval + INTERVAL_GAIN * error / steps, low), high)
        return self._store(expected + TIME_GAIN * error, sequence)

    def _steps(self, arrived: float, sequence: int | None) -> int:
        assert self._last is not None
        if sequence is not None and self._sequence is not None:
            return sequence - self._sequence
        return max(1, round((arrived - self._last) / self.interval))

    def _store(self, time: float, sequence: int | None) -> float:
        self._last = time
        self._sequence = sequence
        return time


# Interval between two new faces of a source, from their own times

GAP_MEMORY = 31
"""Number of newest gaps that are stored."""

GAPS_NEEDED = 8
"""Number of gaps that an estimate needs."""

SHORTEST_GAP = 1e-3
LONGEST_GAP = 0.5
"""Range of a gap, seconds; a longer one is a pause."""

INTERVAL_LEARNING_RATE = 0.05
"""Share of the difference by which each face moves the estimate; small, because the delay depends
on it."""


class IntervalEstimator:
    """`add_face` every face that is accepted; `interval` is then in seconds."""

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self._newest: float | None = None
        self._gaps: deque[float] = deque(maxlen=GAP_MEMORY)

    def reset(self) -> None:
        """Discard the newest time; later ones are of another clock."""
        self._newest = None

    def add_face(self, time: float, new: bool = True) -> None:
        """Add a face's time, in order of arrival; the gap before a face not `new` is ignored."""
        if self._newest is not None and time <= self._newest:
            return
        if self._newest is not None and new and SHORTEST_GAP <= time - self._newest <= LONGEST_GAP:
            self._gaps.append(time - self._newest)
        self._newest = time
        if len(self._gaps) >= GAPS_NEEDED:
            # losses and disorder only lengthen gaps, so the true one is among the shorter half
            estimate = sorted(self._gaps)[len(self._gaps) // 3]
            self.interval += INTERVAL_LEARNING_RATE * (estimate - self.interval)


# Duplicates: faces that a sender sends again because it sends faster than its tracker measures
#
# Played back, a duplicate would stop the face until the next new one, and the motion would stutter.
# The filter distinguishes duplicates from a face that really stands still, which lasts longer, and
# from two faces of a motion that happen to be equal, which are rare.

DUPLICATE_SHARE = 0.3
"""Share of faces equal to the one before, above which a sender is assumed to send duplicates."""

DUPLICATE_LEARNING_RATE = 0.05
"""Weight of each face in that share."""

STILL_INTERVALS = 2.5
"""Intervals without a change after which an equal face is still and no duplicate."""


class DuplicateFilter:
    """Classifies faces, in order of arrival, as new, still or duplicate."""

    def __init__(self) -> None:
        self._face: tuple[Float32[Array, " n"], Float32[Array, "15"]] | None = None
        self._since = -math.inf
        self._share = 0.0

    def reset(self) -> None:
        """Discard the time of the last change; later ones are of another clock."""
        self._since = -math.inf

    def classify(
        self,
        weights: Float32[Array, " n"],
        pose: Float32[Array, "15"],
        time: float,
        interval: float,
    ) -> str:
        """Return `new`, or `still` or `duplicate`: equal to the face before, to the last bit.

        Args:
            weights: as observed.
            pose: as observed.
            time: time of capture, in the sender's seconds.
            interval: seconds between two new faces.
        """
        before, self._face = self._face, (weights, pose)
        same = (
            before is not None
            and np.array_equal(before[0], weights)
            and np.array_equal(before[1], pose)
        )
        self._share += DUPLICATE_LEARNING_RATE * (same - self._share)
        if not same:
            self._since = time
            return "new"
        sends_duplicates = self._share > DUPLICATE_SHARE
        is_soon = 0 < time - self._since < STILL_INTERVALS * interval
        return "duplicate" if sends_duplicates and is_soon else "still"
