"""FrameInput: the few kilobytes that a frame needs of the host, in one array that travels in one copy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.conventions import POSE_FEATURE_SIZE
from imavatar_deploy.kinematics import pose_feature, skinning_transforms

Float = NDArray[np.float32]

ALIGNED = 64
"""Numbers: every part begins at a multiple of 256 bytes."""


class FrameInput:
    """Where things lie: coefficients `[E + 36]`, bones `[12 J]`, image matrix `[12]`, the shading's constant `[C]`."""

    def __init__(self, avatar: Avatar, constant_size: int) -> None:
        self._avatar = avatar
        sizes = (avatar.expression_size + POSE_FEATURE_SIZE, 12 * avatar.bone_count, 12, constant_size)
        starts = np.concatenate([[0], np.cumsum([-(-size // ALIGNED) * ALIGNED for size in sizes])])
        self.parts = tuple(slice(int(start), int(start) + size) for start, size in zip(starts, sizes, strict=False))
        """The four parts, in that order."""
        self.size = int(starts[-1])

    def write(self, target: Float, expression: Float, pose: Float, image_matrix: Float, constant: Float) -> None:
        """Fill `target` `[size]`; pose and bones are too small to be worth a kernel (70 us here)."""
        coefficients, bones, matrix, rest = self.parts
        target[coefficients] = np.concatenate([expression, pose_feature(pose)])
        moved = skinning_transforms(pose, self._avatar.joints(expression), self._avatar.bone_count)
        target[bones] = moved[:, :3].reshape(-1)
        target[matrix] = image_matrix.reshape(-1)
        target[rest.start : rest.start + len(constant)] = constant
