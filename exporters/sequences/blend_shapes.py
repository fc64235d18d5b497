"""An avatar's bases as blend shapes: names, offsets, and the weight of each in a frame."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.conventions import BONES, POSE_FEATURE_SIZE, UNITS_PER_METRE
from imavatar_deploy.kinematics import pose_feature

Float = NDArray[np.float32]


def blend_names(avatar: Avatar) -> list[str]:
    """[E + 36] identifiers: the expressions, then `pose_jaw_0` and the like for the entries of the pose feature."""
    expressions = [re.sub(r"\W", "_", name) for name in avatar.expression_names]
    each = POSE_FEATURE_SIZE // (len(BONES) - 1)
    names = [*expressions, *(f"pose_{bone}_{entry}" for bone in BONES[1:] for entry in range(each))]
    return [name if names.count(name) == 1 else f"{name}_{index}" for index, name in enumerate(names)]


def blend_offsets(avatar: Avatar) -> Float:
    """[E + 36, V, 3] metres a unit of weight."""
    bases = np.concatenate([avatar.expression_basis, avatar.pose_basis]) / np.float32(UNITS_PER_METRE)
    return np.ascontiguousarray(bases.transpose(0, 2, 1))


def blend_weights(expression: Float, pose: Float) -> Float:
    """[E + 36] of a frame."""
    return np.concatenate([expression, pose_feature(pose)])
