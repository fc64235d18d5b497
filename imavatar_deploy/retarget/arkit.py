"""ARKit's 52 face shapes by name, in Apple's order, and the rotations of its eyeLook shapes.

Live Link Face sends them in this order, and "Perfect Sync" uses their names.
"""

from __future__ import annotations

import numpy as np

from imavatar_deploy.arrays import Array, Float32

ARKIT = "arkit52"
"""Name of the vocabulary."""

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
"""Left and right are those of the person."""

LOOK_ANGLES: dict[str, tuple[float, float]] = {
    "Down": (0.27, 0.0),
    "Up": (-0.18, 0.0),
    "In": (0.0, -0.37),
    "Out": (0.0, 0.36),
}
"""Rotation of the left eye by each eyeLook shape at weight 1, for trackers that send weights alone.

Radians about +X (down) and about +Y (to the person's left). Apple gives no angle. These are
OpenHead's: the rotation about its eye joint that moves the iris as far as MakeHuman's shape of that
name does. The right eye is the mirror image.
"""


def _eye_turns() -> Float32[Array, "52 6"]:
    turns = np.zeros((len(ARKIT_NAMES), 6), dtype=np.float32)
    for first, side, mirror in ((0, "Left", 1.0), (3, "Right", -1.0)):
        for direction, (down, left) in LOOK_ANGLES.items():
            row = ARKIT_NAMES.index(f"eyeLook{direction}{side}")
            turns[row, first : first + 2] = down, mirror * left
    return turns


EYE_TURNS = _eye_turns()
"""Axis-angles of the left and the right eye per unit of each ARKit weight, `[52, 6]`."""
