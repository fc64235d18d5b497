"""The neutral face at rest, the jaw closed: its expression, its pose, its normals."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.conventions import EXPRESSION_SIZE, POSE_SIZE
from imavatar_deploy.rendering.normals import surface_normals
from imavatar_deploy.rendering.posing import pose_plainly

Float = NDArray[np.float32]

NEUTRAL = np.zeros(EXPRESSION_SIZE, dtype=np.float32)
AT_REST = np.zeros(POSE_SIZE, dtype=np.float32)


def rest_normals(avatar: Avatar) -> Float:
    """[V, 3] unit normals of the neutral face at rest."""
    return surface_normals(avatar, pose_plainly(avatar, NEUTRAL, AT_REST))
