"""A take as scene formats want it: joints with rotations and translations, and the weight of every blend shape."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.conventions import BONES, GHOST_BONE, PARENTS, POSE_FEATURE_SIZE, UNITS_PER_METRE
from imavatar_deploy.kinematics import pose_feature, quaternions, skinning_transforms

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
    moved = skinning_transforms(pose, avatar.joints(expression), avatar.bone_count).astype(np.float64)
    moved[:, :3, 3] /= UNITS_PER_METRE
    places = np.einsum("jrc,jc->jr", moved[:, :3, :3], joints_at_rest(avatar)) + moved[:, :3, 3]
    pairs = zip(places, joint_parents(avatar), strict=True)
    return np.stack(
        [place if above < 0 else moved[above, :3, :3].T @ (place - places[above]) for place, above in pairs]
    )


def local_rotations(avatar: Avatar, pose: Float) -> Double:
    """[J, 4] unit quaternions beside `local_translations`, the real part first: what the pose says of each bone."""
    ghosts = np.tile([1.0, 0.0, 0.0, 0.0], (avatar.bone_count - len(BONES), 1))
    return np.concatenate([ghosts, quaternions(pose)])


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
