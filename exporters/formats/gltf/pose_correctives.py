"""What an engine cannot compute by itself of a motion, baked in: the pose correctives, as morph targets with weights.

First the one of the open jaw, which every file has, then as many principal components of what it leaves of
this motion's correctives as the tolerance asks for. On OpenHead, whose correctives are the jaw's, that is none.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.kinematics import pose_feature

from .morph_targets import MM_PER_UNIT, MorphTarget, open_jaw

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
    targets: list[MorphTarget]
    weights: Float  # [T, K] of `targets`, within -1..1
    error_mm: float
    """Farthest that any vertex of any frame lies from the true correctives."""


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
    while count < len(strength) and _error_mm(
        left[worst], scores[worst], directions, count, basis
    ) > (CORRECTIVE_TOLERANCE_MM):
        count += 1
    reach = np.maximum(np.abs(scores[:, :count]).max(axis=0), 1e-30)
    offsets = (
        ((reach[:, None] * directions[:count]) @ basis)
        .reshape(count, 3, avatar.vertex_count)
        .astype(np.float32)
    )
    return Correctives(
        share.astype(np.float32),
        [MorphTarget(f"clipCorrective{number}", offset) for number, offset in enumerate(offsets)],
        (scores[:, :count] / reach).astype(np.float32),
        _error_mm(left, scores, directions, count, basis),
    )


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
    farthest = [
        np.linalg.norm((row @ basis).reshape(3, -1), axis=0).max(initial=0.0) for row in missing
    ]
    return MM_PER_UNIT * float(max(farthest))
