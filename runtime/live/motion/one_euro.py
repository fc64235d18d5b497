"""One-Euro filter: little jitter at rest, little lag in motion (Casiez, Roussel and Vogel, CHI 2012).

A first-order low-pass filter whose cutoff grows with the speed, itself low-pass filtered:

    alpha(fc) = 1 / (1 + 1 / (2 pi fc dt))    fc = min_cutoff + beta |speed|

It lags by 1 / (2 pi fc) behind a steady motion, for every rate of calls. Speeds are of the raw values, not against the
filtered ones, which would count the lag as speed, and the more of it the more often the filter is called.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from imavatar_deploy.conventions import BONES, EXPRESSION_SIZE
from imavatar_deploy.errors import UsageError

from .face import CHANNEL_OF, CHANNELS, Double, sizes


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
        self._beta = np.repeat([smoothing.expression_beta, smoothing.bone_beta], [EXPRESSION_SIZE, len(BONES)])
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
