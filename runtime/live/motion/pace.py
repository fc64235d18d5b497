"""Pace: even moments for packets that say no time, from when they arrive and how often (a phase-locked loop)."""

from __future__ import annotations

PULL = 0.1
"""Share of a packet's earliness or lateness by which the beat is shifted: jitter of 40 ms is felt as 4."""

PULL_OF_INTERVAL = 0.005
"""Share of it by which the interval is changed; small, so that the loop does not swing."""

SLIPPED = 4.0
"""Intervals off the beat, and it begins anew: the stream stood still."""


class Pace:
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
        self.interval = min(max(self.interval + PULL_OF_INTERVAL * error / steps, low), high)
        return self._keep(expected + PULL * error, sequence)

    def _steps(self, arrived: float, sequence: int | None) -> int:
        assert self._last is not None
        if sequence is not None and self._sequence is not None:
            return sequence - self._sequence
        return max(1, round((arrived - self._last) / self.interval))

    def _keep(self, moment: float, sequence: int | None) -> float:
        self._last, self._sequence = moment, sequence
        return moment
