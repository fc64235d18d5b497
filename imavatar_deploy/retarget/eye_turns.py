"""How far ARKit's eyeLook shapes turn an eye, for trackers that give weights alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .arkit import ARKIT_NAMES

Float = NDArray[np.float32]

LOOK: dict[str, tuple[float, float]] = {"Down": (0.27, 0.0), "Up": (-0.18, 0.0), "In": (0.0, -0.37), "Out": (0.0, 0.36)}
"""Radians about +X (down) and, of the left eye, about +Y (to the person's left) at weight 1.

Apple gives no angle. These are OpenHead's: the turn about its eye joint that carries the iris as far as MakeHuman's
shape of that name does. A mirror image turns the right eye.
"""


def _eye_turns() -> Float:
    turns = np.zeros((len(ARKIT_NAMES), 6), dtype=np.float32)
    for first, side, mirror in ((0, "Left", 1.0), (3, "Right", -1.0)):
        for way, (down, left) in LOOK.items():
            turns[ARKIT_NAMES.index(f"eyeLook{way}{side}"), first : first + 2] = down, mirror * left
    return turns


EYE_TURNS = _eye_turns()
"""[52, 6] axis-angle of the left and the right eye per unit of each ARKit weight."""
