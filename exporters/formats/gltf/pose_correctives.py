"""Pose correctives of a clip as weighted morph targets, which engines cannot compute themselves.

The first target is that of the open jaw, which every file has. The remainder of the clip's
correctives is represented by as many principal components as the tolerance requires; on OpenHead,
whose only correctives are the jaw's, by none.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from imavatar_deploy.arrays import Array, Float32, Float64
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.kinematics import pose_feature

from .morph_targets import MM_PER_UNIT, MorphTarget, open_jaw

CORRECTIVE_TOLERANCE_MM = 0.02
"""Largest error of a clip's correctives, mm: a fifth of a file's tolerance."""

TEST_FRAMES = 16
"""Frames on which a number of components is tested: those that the jaw's target explains least."""

NEGLIGIBLE_ENERGY = 1e-12
"""Directions with less than this share of the largest energy are rounding."""


class Correctives(NamedTuple):
    """The pose correctives of a motion as weights of morph targets."""

    jaw: Float32[Array, " T"]  # weight of the open jaw's corrective
    targets: list[MorphTarget]
    weights: Float32[Array, "T K"]  # of `targets`, within -1..1
    error_mm: float
    """Largest error of a vertex in any frame, mm."""


def correctives(avatar: Avatar, pose: Float32[Array, "T 15"]) -> Correctives:
    """Represent the pose correctives of T poses within CORRECTIVE_TOLERANCE_MM by few targets."""
    to_basis, basis = _orthonormal(avatar)
    coordinates = pose_feature(pose) @ to_basis
    jaw = pose_feature(open_jaw()) @ to_basis
    jaw_weights = coordinates @ jaw / max(float(jaw @ jaw), 1e-30)
    remainder = coordinates - np.outer(jaw_weights, jaw)
    scores, strength, directions = np.linalg.svd(remainder, full_matrices=False)
    scores *= strength
    worst = np.argsort(-np.linalg.norm(remainder, axis=1))[:TEST_FRAMES]
    count = 0
    while count < len(strength) and (
        _error_mm(remainder[worst], scores[worst], directions, count, basis)
        > CORRECTIVE_TOLERANCE_MM
    ):
        count += 1
    scale = np.maximum(np.abs(scores[:, :count]).max(axis=0), 1e-30)
    offsets = (
        ((scale[:, None] * directions[:count]) @ basis)
        .reshape(count, 3, avatar.vertex_count)
        .astype(np.float32)
    )
    return Correctives(
        jaw_weights.astype(np.float32),
        [MorphTarget(f"clipCorrective{number}", offset) for number, offset in enumerate(offsets)],
        (scores[:, :count] / scale).astype(np.float32),
        _error_mm(remainder, scores, directions, count, basis),
    )


def _orthonormal(avatar: Avatar) -> tuple[Float64[Array, "P R"], Float64[Array, "R W"]]:
    """Factors of the pose basis `[P, 3 V]`; the rows of the second are orthonormal, W is 3 V."""
    flat = avatar.pose_basis.reshape(len(avatar.pose_basis), -1).astype(np.float64)
    energy, vectors = np.linalg.eigh(flat @ flat.T)
    significant = energy > max(NEGLIGIBLE_ENERGY * energy[-1], 1e-30)
    length = np.sqrt(energy[significant])
    selected = vectors[:, significant]
    return selected * length, (selected / length).T @ flat


def _error_mm(
    remainder: Float64[Array, "T R"],
    scores: Float64[Array, "T Q"],
    directions: Float64[Array, "Q R"],
    count: int,
    basis: Float64[Array, "R W"],
) -> float:
    """Largest displacement (mm) that `count` components leave of the remainder."""
    missing = remainder - scores[:, :count] @ directions[:count]
    farthest = [
        np.linalg.norm((row @ basis).reshape(3, -1), axis=0).max(initial=0.0) for row in missing
    ]
    return MM_PER_UNIT * float(max(farthest))
