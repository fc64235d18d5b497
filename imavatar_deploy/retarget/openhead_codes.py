"""OpenHead's codes as ARKit's weights: its 50 expressions are ARKit's, and its jaw is jawOpen."""

from __future__ import annotations

import numpy as np

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.conventions import JAW

from .arkit import ARKIT_NAMES

JAW_OPEN_ANGLE = 0.42548642
"""Radians about +X at which OpenHead's jaw and its correctives equal MakeHuman's jawOpen.

It is `jaw_open_angle` in OpenHead's file. The shapes agree there and at rest; between, the rotating
jaw deviates from the straight line of the morph by up to 2.3 mm (at the chin).
"""

OPENHEAD_NAMES = tuple(sorted({*ARKIT_NAMES} - {"jawOpen", "tongueOut"}))
"""OpenHead's 50 expressions in their order."""

JAW_OPEN = ARKIT_NAMES.index("jawOpen")

_ROWS = np.array([ARKIT_NAMES.index(name) for name in OPENHEAD_NAMES])


def arkit_of_openhead(
    expression: Float32[Array, "50"], pose: Float32[Array, "15"]
) -> tuple[Float32[Array, "52"], Float32[Array, "15"]]:
    """Convert OpenHead's codes to ARKit's weights, which may leave 0..1, and the rest of the pose.

    Returns:
        The weights in the order of ARKIT_NAMES, and a copy of the pose without the rotation about
        +X of the jaw, which is jawOpen's.
    """
    weights = np.zeros(len(ARKIT_NAMES), dtype=np.float32)
    weights[_ROWS] = expression
    weights[JAW_OPEN] = pose[JAW.start] / JAW_OPEN_ANGLE
    rest = pose.copy()
    rest[JAW.start] = 0
    return weights, rest
