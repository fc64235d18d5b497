"""ARKit's 52 face shapes by name, in Apple's order, which Live Link Face sends and "Perfect Sync" spells."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ARKIT = "arkit52"
"""The vocabulary's name."""

ARKIT_NAMES = (
    "eyeBlinkLeft",
    "eyeLookDownLeft",
    "eyeLookInLeft",
    "eyeLookOutLeft",
    "eyeLookUpLeft",
    "eyeSquintLeft",
    "eyeWideLeft",
    "eyeBlinkRight",
    "eyeLookDownRight",
    "eyeLookInRight",
    "eyeLookOutRight",
    "eyeLookUpRight",
    "eyeSquintRight",
    "eyeWideRight",
    "jawForward",
    "jawLeft",
    "jawRight",
    "jawOpen",
    "mouthClose",
    "mouthFunnel",
    "mouthPucker",
    "mouthLeft",
    "mouthRight",
    "mouthSmileLeft",
    "mouthSmileRight",
    "mouthFrownLeft",
    "mouthFrownRight",
    "mouthDimpleLeft",
    "mouthDimpleRight",
    "mouthStretchLeft",
    "mouthStretchRight",
    "mouthRollLower",
    "mouthRollUpper",
    "mouthShrugLower",
    "mouthShrugUpper",
    "mouthPressLeft",
    "mouthPressRight",
    "mouthLowerDownLeft",
    "mouthLowerDownRight",
    "mouthUpperUpLeft",
    "mouthUpperUpRight",
    "browDownLeft",
    "browDownRight",
    "browInnerUp",
    "browOuterUpLeft",
    "browOuterUpRight",
    "cheekPuff",
    "cheekSquintLeft",
    "cheekSquintRight",
    "noseSneerLeft",
    "noseSneerRight",
    "tongueOut",
)
"""Left and right are the person's own."""


# How far ARKit's eyeLook shapes turn an eye, for trackers that give weights alone.


Float = NDArray[np.float32]

LOOK: dict[str, tuple[float, float]] = {
    "Down": (0.27, 0.0),
    "Up": (-0.18, 0.0),
    "In": (0.0, -0.37),
    "Out": (0.0, 0.36),
}
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
