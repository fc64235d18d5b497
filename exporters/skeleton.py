"""A pose as scene formats want it: named joints, each with a rotation and a translation in its parent's frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.conventions import (
    BONES,
    EXPRESSION_SIZE,
    GHOST_BONE,
    PARENTS,
    POSE_SIZE,
    UNITS_PER_METRE,
)
from imavatar_deploy.kinematics import quaternions, skinning_transforms
from imavatar_deploy.rendering.posing import pose_plainly, surface_normals

Float = NDArray[np.float32]

Double = NDArray[np.float64]


def joint_names(avatar: Avatar) -> list[str]:
    """[J] in the order of the skinning weights."""
    return [GHOST_BONE, *BONES][-avatar.bone_count :]


def joint_parents(avatar: Avatar) -> list[int]:
    """[J] the parent of each joint, -1 for a root; the ghost is one of its own."""
    ghosts = avatar.bone_count - len(BONES)
    return [-1] * ghosts + [parent + ghosts if parent >= 0 else -1 for parent in PARENTS]


def joints_at_rest(avatar: Avatar) -> Double:
    """[J, 3] metres."""
    ghosts = np.zeros((avatar.bone_count - len(BONES), 3))
    return np.concatenate([ghosts, avatar.joints_rest.astype(np.float64) / UNITS_PER_METRE])


def local_translations(avatar: Avatar, expression: Float, pose: Float) -> Double:
    """[J, 3] each joint in its parent's frame, metres, so that skinning from `joints_at_rest` moves as the avatar does.

    In FLAME joints move with the expression, and a skeleton's rest does not: their way goes into the translations.
    """
    moved = skinning_transforms(pose, avatar.joints(expression), avatar.bone_count).astype(
        np.float64
    )
    moved[:, :3, 3] /= UNITS_PER_METRE
    places = np.einsum("jrc,jc->jr", moved[:, :3, :3], joints_at_rest(avatar)) + moved[:, :3, 3]
    pairs = zip(places, joint_parents(avatar), strict=True)
    return np.stack(
        [
            place if above < 0 else moved[above, :3, :3].T @ (place - places[above])
            for place, above in pairs
        ]
    )


def local_rotations(avatar: Avatar, pose: Float) -> Float:
    """[J, 4] unit quaternions beside `local_translations`: what a pose `[15]` says of each bone, none of the ghost."""
    ghosts = np.tile(np.array([0, 0, 0, 1], dtype=np.float32), (avatar.bone_count - len(BONES), 1))
    return np.concatenate([ghosts, bone_rotations(pose)])


def bone_rotations(pose: Float) -> Float:
    """[..., 5, 4] unit quaternions (x, y, z, w) of poses `[..., 15]`: files have the real part last."""
    return np.roll(quaternions(pose), -1, axis=-1).astype(np.float32)


# The neutral face at rest, the jaw closed: its expression, its pose, its normals.


NEUTRAL = np.zeros(EXPRESSION_SIZE, dtype=np.float32)

AT_REST = np.zeros(POSE_SIZE, dtype=np.float32)


def rest_normals(avatar: Avatar) -> Float:
    """[V, 3] unit normals of the neutral face at rest."""
    return surface_normals(avatar, pose_plainly(avatar, NEUTRAL, AT_REST))
