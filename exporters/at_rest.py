"""The neutral face at rest, the jaw closed: its expression, its pose, its normals."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.animation.animate import pose_plainly
from imavatar_deploy.animation.normals import surface_normals
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.conventions import EXPRESSION_SIZE, POSE_SIZE

Float = NDArray[np.float32]

NEUTRAL = np.zeros(EXPRESSION_SIZE, dtype=np.float32)
AT_REST = np.zeros(POSE_SIZE, dtype=np.float32)


def rest_normals(avatar: Avatar) -> Float:
    """[V, 3] unit normals of the neutral face at rest."""
    return surface_normals(avatar, pose_plainly(avatar, NEUTRAL, AT_REST))
