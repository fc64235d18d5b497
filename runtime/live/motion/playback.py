"""Playback: the faces in the jitter buffer -> one smooth motion, by a One-Euro filter and a correction.

The latency that is allowed is shared between delay and smoothing, anew in each channel at each moment: a channel at
rest is smoothed much and read near the newest face; one that moves is smoothed little and read further back, where
faces lie on both sides. The sum stays the same: the channels stay together, and the latency is what was asked for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from imavatar_deploy.conventions import BONES, EXPRESSION_SIZE
from imavatar_deploy.errors import UsageError

from .face_state import CHANNEL_OF, CHANNELS, NEUTRAL, Double, Face, sizes, stacked
from .jitter_buffer import Dropout, JitterBuffer, Reading

# One-Euro filter: little jitter at rest, little lag in motion (Casiez, Roussel and Vogel, CHI 2012).
#
# A first-order low-pass filter whose cutoff grows with the speed, itself low-pass filtered:
#
#     alpha(fc) = 1 / (1 + 1 / (2 pi fc dt))    fc = min_cutoff + beta |speed|
#
# It lags by 1 / (2 pi fc) behind a steady motion, for every rate of calls. Speeds are of the raw values, not against
# the filtered ones, which would count the lag as speed, and the more of it the more often the filter is called.


@dataclass(frozen=True)
class Smoothing:
    """How much is smoothed.

    Raises:
        UsageError: a number that is not positive.
    """

    min_cutoff: float = 1.5
    """Hz at rest: lower is calmer, and lags more. The latency that is allowed may raise it, see `floor_of`."""
    expression_beta: float = 4.0
    """Hz for each unit a second of an expression."""
    bone_beta: float = 15.0
    """Hz for each radian a second; the lag in motion is then at most 1 / (2 pi 15) rad = 0.6 degrees."""
    speed_cutoff: float = 4.0
    """Hz of the filter of speeds; the paper's 1 Hz does not see the mouth of someone who talks."""

    memory: float = 0.25
    """Seconds in which a past speed fades that was higher: so that the turning points of a nod, where the speed is zero
    for a moment, are not smoothed more than the rest of it. 0 is the paper's filter."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value < math.inf or (not value and name != "memory"):
                raise UsageError(f"{name} of the smoothing must be a positive number, got {value}")

    def floor_of(self, latency: float) -> float:
        """The least cutoff (Hz) whose lag is no more than `latency` seconds."""
        return max(self.min_cutoff, 1 / (2 * math.pi * latency)) if latency > 0 else math.inf


class OneEuro:
    """The filter for all 55 channels of a face at once; it sees differences only, never values."""

    def __init__(self, smoothing: Smoothing) -> None:
        self._speed_cutoff = smoothing.speed_cutoff
        self._beta = np.repeat(
            [smoothing.expression_beta, smoothing.bone_beta], [EXPRESSION_SIZE, len(BONES)]
        )
        self._speed = np.zeros(len(CHANNEL_OF))
        self._memory = smoothing.memory
        self._fastest: Double = np.zeros(CHANNELS)
        self.lag: Double = np.zeros(CHANNELS)
        """[55] seconds by which each channel lags now."""

    def step(self, change: Double, gap: Double, elapsed: float, floor: float) -> Double:
        """What to add to the filtered face, `[65]`.

        Args:
            change: `[65]` the raw face minus the raw one before.
            gap: `[65]` the raw face minus the filtered one before.
            elapsed: seconds between the two raw faces, more than 0.
            floor: the cutoff at rest, Hz.
        """
        share = 1 / (1 + 1 / (2 * math.pi * self._speed_cutoff * elapsed))
        self._speed += share * (change / elapsed - self._speed)
        fading = math.exp(-elapsed / self._memory) if self._memory else 0.0
        self._fastest = np.maximum(sizes(self._speed), self._fastest * fading)
        self.lag = 1 / (2 * math.pi * (floor + self._beta * self._fastest))
        return np.asarray((elapsed / (elapsed + self.lag))[CHANNEL_OF] * gap)


# The correction keeps a prediction that turns out wrong from showing as a jump.
#
# When the truth arrives, the output stays where it is and moves as it did; the difference is let go like a critically
# damped spring. Small ones are gone in a tenth of a second, large ones at the acceleration that a body has.


FASTEST = 60.0
"""1/s: (1 + 60 t) exp(-60 t) leaves 2 % after 0.1 s."""

ACCELERATIONS = np.repeat(
    [800.0, 100.0, 100.0, 300.0, 1000.0, 1000.0], [EXPRESSION_SIZE, 1, 1, 1, 1, 1]
)
"""[55] what letting go begins with where the difference is at rest, and at most three times that where it moves. A head
that is shaken briskly, 0.4 rad at 2 Hz, has 63 rad/s^2; jaws, eyes and expressions (a blink has 800) are faster."""


class Correction:
    """The difference that is still shown, `offset` `[65]`, and its speed."""

    def __init__(self) -> None:
        self.offset: Double = np.zeros(len(CHANNEL_OF))
        self.speed: Double = np.zeros(len(CHANNEL_OF))

    def take(self, offset: Double, speed: Double) -> None:
        """Begin anew from a difference `[65]` and its speed."""
        self.offset, self.speed = offset, speed

    def step(self, elapsed: float) -> Double:
        """The difference left after `elapsed` seconds: the spring's exact solution, as stiff all along as at first."""
        offset, speed = np.maximum(sizes(self.offset), 1e-9), np.maximum(sizes(self.speed), 1e-9)
        softest = np.minimum(np.sqrt(ACCELERATIONS / offset), ACCELERATIONS / speed)
        stiffness = np.minimum(FASTEST, softest)[CHANNEL_OF]
        decay = np.exp(-stiffness * elapsed)
        push = (self.speed + stiffness * self.offset) * elapsed
        self.offset = (self.offset + push) * decay
        self.speed = (self.speed - stiffness * push) * decay
        return self.offset


class Playback:
    """Call `step` with moments that grow."""

    def __init__(self, dropout: Dropout, smoothing: Smoothing | None) -> None:
        self.dropout = dropout
        self._smoothing = smoothing
        self._filter = OneEuro(smoothing) if smoothing else None
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
