"""Playback: what the buffer holds -> one smooth motion, a step at a time.

The latency that is allowed is shared between delay and smoothing, anew in each channel at each moment: a channel at
rest is smoothed much and read near the newest face; one that moves is smoothed little and read further back, where
faces lie on both sides. The sum stays the same: the channels stay together, and the latency is what was asked for.
"""

from __future__ import annotations

import numpy as np

from .face_state import CHANNELS, NEUTRAL, Double, Face, stacked
from .filters import Correction, OneEuro
from .jitter_buffer import DROPOUTS, JitterBuffer, Reading
from .settings import MotionSettings


class Playback:
    """Call `step` with moments that grow."""

    def __init__(self, settings: MotionSettings) -> None:
        self.dropout = DROPOUTS[settings.dropout]
        self._smoothing = settings.smoothing
        self._filter = OneEuro(settings.smoothing) if settings.smoothing else None
        self._correction = Correction()
        self._read: Double | None = None  # [55] the sender's times that were read last
        self._speed: Double | None = None
        self._raw = self._shown = NEUTRAL

    @property
    def lag(self) -> Double:
        """[55] seconds by which the smoothing lags now."""
        return np.zeros(CHANNELS) if self._filter is None else self._filter.lag

    def forget_times(self) -> None:
        """The buffer's times are of another clock from now on."""
        self._read = None

    def step(
        self, buffer: JitterBuffer, now: float, elapsed: float, latency: float, changed: bool
    ) -> Face:
        """The face at the sender's time `now`.

        Args:
            buffer: holds at least one face.
            now: seconds.
            elapsed: seconds since the last step.
            latency: seconds by which what is shown is behind `now`.
            changed: whether the buffer has changed since the last step.
        """
        read = now - latency + np.broadcast_to(self.lag, (CHANNELS,))
        if self._read is not None:
            read = np.maximum(read, self._read)  # time never goes back
        earlier = read - elapsed if self._read is None else self._read
        self._read = read
        age = now - latency - buffer.newest
        if self._speed is None:
            self._raw, self._speed = self._rested(buffer.read(read[None], self.dropout), 0, age)
            self._shown = self._raw
            return self._shown
        if changed:
            both = buffer.read(np.stack([earlier, read]), self.dropout)
            before = self._rested(both, 0, age - elapsed)
            speed = self._correction.speed + self._speed - before.speed
            self._correction.take(self._raw.minus(before.face), speed)
            target = self._rested(both, 1, age)
        else:
            target = self._rested(buffer.read(read[None], self.dropout), 0, age)
        self._speed = target.speed
        return self._smoothed(target.face.plus(self._correction.step(elapsed)), elapsed, latency)

    def _smoothed(self, raw: Face, elapsed: float, latency: float) -> Face:
        if self._filter is None or self._smoothing is None:
            self._raw = self._shown = raw
            return raw
        change, gap = raw.minus(stacked(self._raw, self._shown))
        self._raw = raw
        self._shown = self._shown.plus(
            self._filter.step(change, gap, elapsed, self._smoothing.floor_of(latency))
        )
        return self._shown

    def _rested(self, readings: Reading, row: int, age: float) -> Reading:
        """One row of a reading, on its way to neutral when nothing has come for long."""
        face = Face(readings.face.expression[row], readings.face.turns[row])
        share, rate = self.dropout.rest(age)
        if not share:
            return Reading(face, readings.speed[row])
        way = NEUTRAL.minus(face)
        return Reading(face.plus(share * way), readings.speed[row] + rate * way)
