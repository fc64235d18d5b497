"""A motion as an animation clip: weights, bone rotations, and what an engine cannot compute by itself, baked in.

Joints that follow the expression become translations of the bones, exact at every frame. Pose correctives become morph
targets: first the one of the open jaw, which every file has, then as many principal components of what it leaves of
this motion's correctives as the tolerance asks for. On OpenHead, whose correctives are the jaw's, that is none.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.conventions import BONES, PARENTS, UNITS_PER_METRE
from imavatar_deploy.kinematics import bone_transforms, pose_feature
from imavatar_deploy.tracks import FlameTrack

from .limits import MM_PER_UNIT
from .targets import Target, open_jaw

Float = NDArray[np.float32]
Double = NDArray[np.float64]

CORRECTIVE_TOLERANCE_MM = 0.02
"""What the correctives of a clip may miss: a fifth of what a file may differ."""

WORST = 16
"""Frames on which a number of components is tried; those of which the jaw explains least."""

NOTHING = 1e-12
"""Directions with less than this share of the strongest's energy are rounding."""


class Correctives(NamedTuple):
    """The pose correctives of a motion as weights of morph targets."""

    jaw: Float  # [T] weight of the open jaw's corrective
    targets: list[Target]
    weights: Float  # [T, K] of `targets`, within -1..1
    error_mm: float
    """Farthest that any vertex of any frame lies from the true correctives."""


class BoneMotion(NamedTuple):
    """Local transforms of the five bones."""

    rotations: Float  # [T, 5, 4] quaternions, x y z w
    translations: Float  # [T, 5, 3] metres, from the parent


def correctives(avatar: Avatar, pose: Float) -> Correctives:
    """The pose correctives of poses `[T, 15]`, in as few targets as CORRECTIVE_TOLERANCE_MM allows."""
    to_basis, basis = _orthonormal(avatar)
    wanted, jaw = pose_feature(pose) @ to_basis, pose_feature(open_jaw()) @ to_basis
    share = wanted @ jaw / max(float(jaw @ jaw), 1e-30)
    left = wanted - np.outer(share, jaw)
    scores, strength, directions = np.linalg.svd(left, full_matrices=False)
    scores *= strength
    worst = np.argsort(-np.linalg.norm(left, axis=1))[:WORST]
    count = 0
    while count < len(strength) and _error_mm(left[worst], scores[worst], directions, count, basis) > (
        CORRECTIVE_TOLERANCE_MM
    ):
        count += 1
    reach = np.maximum(np.abs(scores[:, :count]).max(axis=0), 1e-30)
    offsets = ((reach[:, None] * directions[:count]) @ basis).reshape(count, 3, avatar.vertex_count).astype(np.float32)
    return Correctives(
        share.astype(np.float32),
        [Target(f"clipCorrective{number}", offset) for number, offset in enumerate(offsets)],
        (scores[:, :count] / reach).astype(np.float32),
        _error_mm(left, scores, directions, count, basis),
    )


def bone_motion(avatar: Avatar, track: FlameTrack) -> BoneMotion:
    """The bones of every frame, such that a skin bound to the neutral joints moves as if bound to the expression's."""
    at_rest = avatar.joints_rest.astype(np.float64)
    translations = np.zeros((len(track), len(BONES), 3))
    for frame, (expression, pose) in enumerate(zip(track.expression, track.pose, strict=True)):
        motion = bone_transforms(pose, avatar.joints(expression)).astype(np.float64)
        world = np.einsum("bij,bj->bi", motion[:, :3, :3], at_rest) + motion[:, :3, 3]
        for bone, parent in enumerate(PARENTS):
            origin, axes = (world[parent], motion[parent, :3, :3]) if parent >= 0 else (np.zeros(3), np.eye(3))
            translations[frame, bone] = axes.T @ (world[bone] - origin)
    return BoneMotion(quaternions(track.pose), (translations / UNITS_PER_METRE).astype(np.float32))


def quaternions(pose: Float) -> Float:
    """[..., 5, 4] unit quaternions (x, y, z, w) of axis-angles `[..., 15]`."""
    vectors = pose.astype(np.float64).reshape(*pose.shape[:-1], -1, 3)
    angle = np.linalg.norm(vectors, axis=-1, keepdims=True)
    parts = np.concatenate([0.5 * np.sinc(angle / (2 * np.pi)) * vectors, np.cos(angle / 2)], axis=-1)
    return np.asarray(parts / np.linalg.norm(parts, axis=-1, keepdims=True), dtype=np.float32)


def _orthonormal(avatar: Avatar) -> tuple[Double, Double]:
    """`to` `[36, R]` and `basis` `[R, 3 V]`, rows orthonormal, whose product is the pose basis."""
    flat = avatar.pose_basis.reshape(len(avatar.pose_basis), -1).astype(np.float64)
    energy, vectors = np.linalg.eigh(flat @ flat.T)
    kept = energy > max(NOTHING * energy[-1], 1e-30)
    length = np.sqrt(energy[kept])
    return vectors[:, kept] * length, (vectors[:, kept] / length).T @ flat


def _error_mm(left: Double, scores: Double, directions: Double, count: int, basis: Double) -> float:
    """Farthest displacement that `count` components leave of `left` `[T, R]`."""
    missing = left - scores[:, :count] @ directions[:count]
    farthest = [np.linalg.norm((row @ basis).reshape(3, -1), axis=0).max(initial=0.0) for row in missing]
    return MM_PER_UNIT * float(max(farthest))
