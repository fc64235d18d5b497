"""What a face does while no newer one comes: the table of `--on-loss`."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .face import Double


@dataclass(frozen=True)
class Dropout:
    """One row: how far a motion is carried on, and when the face rests."""

    description: str
    carries: float
    """Seconds for which the motion is carried on at its last speed."""
    fades: float
    """Seconds in which the speed then fades to nothing."""
    grace: float
    """Seconds after which the face, held until then, begins to relax."""
    eases: float
    """Seconds that it takes to come to neutral."""

    def lead(self, age: Double) -> Double:
        """Seconds of the last speed that are added where a channel is `age` seconds beyond the newest face."""
        fading = np.minimum(np.maximum(age - self.carries, 0.0), self.fades)
        return np.asarray(np.minimum(np.maximum(age, 0.0), self.carries) + fading * (1 - fading / (2 * self.fades)))

    def speed(self, age: Double) -> Double:
        """The share of the last speed that is left, the derivative of `lead`."""
        return np.asarray(1 - np.minimum(np.maximum(age - self.carries, 0.0), self.fades) / self.fades)

    def state(self, age: float) -> str:
        """What that is called: `live` while there are newer faces, then `predicted`, `held`, `relaxing`."""
        if age <= 0:
            return "live"
        if age > self.grace:
            return "relaxing"
        return "predicted" if age < self.carries + self.fades else "held"

    def rest(self, age: float) -> tuple[float, float]:
        """How neutral the face is, 0..1, and how fast that grows, per second (smoothstep: begins and ends gently)."""
        share = min(max((age - self.grace) / self.eases, 0.0), 1.0)
        return share * share * (3 - 2 * share), 6 * share * (1 - share) / self.eases


FRAME, FADES = 0.04, 0.06
"""A face is up to 33 ms old, always, at 30 a second: for that long nothing fades. With 70 ms of motion carried on in
all, a brisk head-shake that is cut off does not run away."""

STOPS = 0.01
"""Seconds in which a face stops that is to be held."""

DROPOUTS = {
    "hold": Dropout("stay as last seen", carries=FRAME, fades=STOPS, grace=math.inf, eases=1.0),
    "predict": Dropout("carry the motion on for a moment, then stay", FRAME, FADES, grace=math.inf, eases=1.0),
    "relax": Dropout("predict, and after two seconds ease to neutral", FRAME, FADES, grace=2.0, eases=1.2),
}
"""The table."""
