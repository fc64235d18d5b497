"""Playback: faces in the jitter buffer -> one smooth motion, by a One-Euro filter and a correction.

The latency of the settings is the sum of a delay, by which the buffer is read behind the newest
face, and of the lag of the smoothing. Every step divides it again, for each channel: a channel at
rest gets more smoothing and less delay, a moving one less smoothing and more delay, so that it is
interpolated between faces and not predicted. As the sum is the same, the channels stay
synchronous.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from imavatar_deploy.arrays import Array, Float64
from imavatar_deploy.conventions import BONES, EXPRESSION_SIZE
from imavatar_deploy.errors import UsageError

from .face_state import CHANNEL_OF, CHANNELS, NEUTRAL, Face, sizes, stack_faces
from .jitter_buffer import Dropout, JitterBuffer, Reading

STIFFNESS_LIMIT = 60.0
"""Largest stiffness of a correction, 1/s: (1 + 60 t) exp(-60 t) leaves 2 % after 0.1 s."""

ACCELERATIONS = np.repeat(
    [800.0, 100.0, 100.0, 300.0, 1000.0, 1000.0], [EXPRESSION_SIZE, 1, 1, 1, 1, 1]
)
"""[55] acceleration at which a correction of a difference at rest begins; at most three times that
where the difference moves. A head that is shaken briskly, 0.4 rad at 2 Hz, has 63 rad/s^2; jaws,
eyes and expressions (a blink has 800) are faster."""


# One-Euro filter: little jitter at rest, little lag in motion (Casiez, Roussel and Vogel, CHI 2012)
#
# A first-order low-pass filter whose cutoff grows with the speed, itself low-pass filtered:
#
#     alpha(fc) = 1 / (1 + 1 / (2 pi fc dt))    fc = min_cutoff + beta |speed|
#
# It lags by 1 / (2 pi fc) behind a steady motion, for every rate of calls. Speeds are those of the
# raw values. The difference from the filtered values would count the lag as speed, and the more of
# it the more often the filter is called.


@dataclass(frozen=True)
class Smoothing:
    """Parameters of the One-Euro filter.

    Raises:
        UsageError: a number that is not positive.
    """

    min_cutoff: float = 1.5
    """Hz at rest: lower is calmer, and lags more. The latency may raise it, see `floor_of`."""
    expression_beta: float = 4.0
    """Hz for each unit a second of an expression."""
    bone_beta: float = 15.0
    """Hz for each radian a second; the lag in motion is then at most 1 / (2 pi 15) rad = 0.6
    deg."""
    speed_cutoff: float = 4.0
    """Hz of the filter of speeds; at the paper's 1 Hz the mouth in speech is too fast for it."""

    memory: float = 0.25
    """Seconds in which a higher past speed fades. At the turning points of a nod the speed is zero
    for an instant; without memory they would be smoothed more than the rest of it. 0: the paper's
    filter."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value < math.inf or (not value and name != "memory"):
                raise UsageError(f"{name} of the smoothing must be a positive number, got {value}")

    def floor_of(self, latency: float) -> float:
        """The least cutoff (Hz) whose lag is no more than `latency` seconds."""
        return max(self.min_cutoff, 1 / (2 * math.pi * latency)) if latency > 0 else math.inf


class OneEuro:
    """The filter for all 55 channels of a face at once. It works on differences of faces alone."""

    def __init__(self, smoothing: Smoothing) -> None:
        self._speed_cutoff = smoothing.speed_cutoff
        self._beta = np.repeat(
            [smoothing.expression_beta, smoothing.bone_beta], [EXPRESSION_SIZE, len(BONES)]
        )
        self._speed = np.zeros(len(CHANNEL_OF))
        self._memory = smoothing.memory
        self._fastest: Float64[Array, "55"] = np.zeros(CHANNELS)
        self.lag: Float64[Array, "55"] = np.zeros(CHANNELS)
        """[55] seconds by which each channel lags now."""

    def step(
        self,
        change: Float64[Array, "65"],
        gap: Float64[Array, "65"],
        elapsed: float,
        floor: float,
    ) -> Float64[Array, "65"]:
        """Return the difference `[65]` to add to the filtered face.

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


# Correction: a prediction that turns out wrong does not show as a jump
#
# When a new face arrives, the output keeps its place and its speed. The difference from the new
# target decays like a critically damped spring: small ones in a tenth of a second, large ones at
# the acceleration that a body has.


class Correction:
    """The difference `offset` `[65]` from the target that is still shown, and its speed."""

    def __init__(self) -> None:
        self.offset: Float64[Array, "65"] = np.zeros(len(CHANNEL_OF))
        self.speed: Float64[Array, "65"] = np.zeros(len(CHANNEL_OF))

    def restart(self, offset: Float64[Array, "65"], speed: Float64[Array, "65"]) -> None:
        """Start a new correction from a difference `[65]` and its speed."""
        self.offset = offset
        self.speed = speed

    def step(self, elapsed: float) -> Float64[Array, "65"]:
        """The difference left after `elapsed` seconds: the spring's exact solution.

        The stiffness is that of the start of the step.
        """
        offset = np.maximum(sizes(self.offset), 1e-9)
        speed = np.maximum(sizes(self.speed), 1e-9)
        softest = np.minimum(np.sqrt(ACCELERATIONS / offset), ACCELERATIONS / speed)
        stiffness = np.minimum(STIFFNESS_LIMIT, softest)[CHANNEL_OF]
        decay = np.exp(-stiffness * elapsed)
        push = (self.speed + stiffness * self.offset) * elapsed
        self.offset = (self.offset + push) * decay
        self.speed = (self.speed - stiffness * push) * decay
        return self.offset


# One step of the playback
#
#     target   the buffer read at now - latency + lag of each channel; moved towards neutral in the
#              state `relaxing` of a dropout
#     raw      target + correction: continuous in place and speed whatever packets arrive
#     output   raw, low-pass filtered
#
# When the buffer has changed since the last step, the correction restarts: the place and speed of
# the last step are compared with those that the buffer now has for the same time.


class Playback:
    """Reads the buffer at growing times, corrects and smooths. Call `step` once a frame."""

    def __init__(self, dropout: Dropout, smoothing: Smoothing | None) -> None:
        self.dropout = dropout
        self._smoothing = smoothing
        self._filter = OneEuro(smoothing) if smoothing else None
        self._correction = Correction()
        self._read: Float64[Array, "55"] | None = None  # the sender's times of the last step
        self._speed: Float64[Array, "65"] | None = None
        self._raw = self._output = NEUTRAL

    @property
    def lag(self) -> Float64[Array, "55"]:
        """[55] seconds by which the smoothing lags now."""
        return np.zeros(CHANNELS) if self._filter is None else self._filter.lag

    def reset_times(self) -> None:
        """Discard the times read so far; those of the buffer are of another clock from now on."""
        self._read = None

    def step(
        self, buffer: JitterBuffer, now: float, elapsed: float, latency: float, changed: bool
    ) -> Face:
        """Return the face to show at the sender's time `now`.

        Args:
            buffer: holds at least one face.
            now: seconds.
            elapsed: seconds since the last step.
            latency: seconds by which the output is behind `now`.
            changed: whether the buffer has changed since the last step.
        """
        read = now - latency + np.broadcast_to(self.lag, (CHANNELS,))
        if self._read is not None:
            read = np.maximum(read, self._read)  # time never goes back
        earlier = read - elapsed if self._read is None else self._read
        self._read = read
        age = now - latency - buffer.newest
        if self._speed is None:
            self._raw, self._speed = self._relax(buffer.read(read[None], self.dropout), 0, age)
            self._output = self._raw
            return self._output
        if changed:
            both = buffer.read(np.stack([earlier, read]), self.dropout)
            before = self._relax(both, 0, age - elapsed)
            speed = self._correction.speed + self._speed - before.speed
            self._correction.restart(self._raw.minus(before.face), speed)
            target = self._relax(both, 1, age)
        else:
            target = self._relax(buffer.read(read[None], self.dropout), 0, age)
        self._speed = target.speed
        return self._smooth(target.face.plus(self._correction.step(elapsed)), elapsed, latency)

    def _smooth(self, raw: Face, elapsed: float, latency: float) -> Face:
        if self._filter is None or self._smoothing is None:
            self._raw = self._output = raw
            return raw
        change, gap = raw.minus(stack_faces(self._raw, self._output))
        self._raw = raw
        self._output = self._output.plus(
            self._filter.step(change, gap, elapsed, self._smoothing.floor_of(latency))
        )
        return self._output

    def _relax(self, readings: Reading, row: int, age: float) -> Reading:
        """One row of a reading, moved towards neutral by the share of `Dropout.rest`."""
        face = Face(readings.face.expression[row], readings.face.turns[row])
        share, rate = self.dropout.rest(age)
        if not share:
            return Reading(face, readings.speed[row])
        way = NEUTRAL.minus(face)
        return Reading(face.plus(share * way), readings.speed[row] + rate * way)
