"""Correction: what keeps a prediction that turns out wrong from showing as a jump.

When the truth arrives, the output stays where it is and moves as it did; the difference is let go like a critically
damped spring. Small ones are gone in a tenth of a second, large ones at the acceleration that a body has.
"""

from __future__ import annotations

import numpy as np

from imavatar_deploy.conventions import EXPRESSION_SIZE

from .face import CHANNEL_OF, Double, sizes

FASTEST = 60.0
"""1/s: (1 + 60 t) exp(-60 t) leaves 2 % after 0.1 s."""

ACCELERATIONS = np.repeat([800.0, 100.0, 100.0, 300.0, 1000.0, 1000.0], [EXPRESSION_SIZE, 1, 1, 1, 1, 1])
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
