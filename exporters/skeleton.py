"""Skeleton of an avatar for scene formats: joints with rotations and translations in parent frames.

Also the neutral expression and the rest pose, and the surface normals they give.
"""

from __future__ import annotations

import numpy as np

from imavatar_deploy.arrays import Array, Float32, Float64
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.conventions import (
    BONES,
    CONDITION_SIZE,
    EXPRESSION_SIZE,
    GHOST_BONE,
    PARENTS,
    POSE_SIZE,
    UNITS_PER_METRE,
)
from imavatar_deploy.kinematics import quaternions, skinning_transforms
from imavatar_deploy.rendering.posing import pose_plainly, surface_normals

NEUTRAL_EXPRESSION = np.zeros(EXPRESSION_SIZE, dtype=np.float32)
"""Neutral expression `[E]`."""

REST_POSE = np.zeros(POSE_SIZE, dtype=np.float32)
"""Pose `[15]` at rest, the jaw closed."""

NEUTRAL_CONDITION = np.zeros(CONDITION_SIZE, dtype=np.float32)
"""Condition `[53]` of the texture network for both, see `condition_of`."""


def joint_names(avatar: Avatar) -> list[str]:
    """[J] names of the joints, in the order of the skinning weights."""
    return [GHOST_BONE, *BONES][-avatar.bone_count :]


def joint_parents(avatar: Avatar) -> list[int]:
    """[J] index of each joint's parent, -1 for the root: the ghost bone, if there is one."""
    ghosts = avatar.bone_count - len(BONES)
    return [-1] * ghosts + [parent + ghosts for parent in PARENTS]


def joints_at_rest(avatar: Avatar) -> Float64[Array, "J 3"]:
    """Positions of the joints at rest, metres."""
    ghosts = np.zeros((avatar.bone_count - len(BONES), 3))
    return np.concatenate([ghosts, avatar.joints_rest.astype(np.float64) / UNITS_PER_METRE])


def local_translations(
    avatar: Avatar, expression: Float32[Array, " E"], pose: Float32[Array, "15"]
) -> Float64[Array, "J 3"]:
    """Translations of the joints in their parents' frames, metres.

    Skinning from `joints_at_rest` then moves as the avatar does. In FLAME the joints move with the
    expression; the rest pose of a skeleton is fixed, so the translations carry this motion.
    """
    transforms = skinning_transforms(pose, avatar.joints(expression), avatar.bone_count)
    transforms = transforms.astype(np.float64)
    transforms[:, :3, 3] /= UNITS_PER_METRE
    rotations = transforms[:, :3, :3]
    positions = np.einsum("jrc,jc->jr", rotations, joints_at_rest(avatar)) + transforms[:, :3, 3]
    return np.stack(
        [
            position if parent < 0 else rotations[parent].T @ (position - positions[parent])
            for position, parent in zip(positions, joint_parents(avatar), strict=True)
        ]
    )


def local_rotations(avatar: Avatar, pose: Float32[Array, "15"]) -> Float32[Array, "J 4"]:
    """Unit quaternions of the joints in their parents' frames; the ghost bone is not rotated."""
    ghosts = np.tile(np.array([0, 0, 0, 1], dtype=np.float32), (avatar.bone_count - len(BONES), 1))
    return np.concatenate([ghosts, bone_rotations(pose)])


def bone_rotations(pose: Float32[Array, "... 15"]) -> Float32[Array, "... 5 4"]:
    """Unit quaternions (x, y, z, w) of the bones; scene files store the real part last."""
    return np.roll(quaternions(pose), -1, axis=-1).astype(np.float32)


def rest_normals(avatar: Avatar) -> Float32[Array, "V 3"]:
    """Unit normals of the neutral face at rest."""
    return surface_normals(avatar, pose_plainly(avatar, NEUTRAL_EXPRESSION, REST_POSE))
