"""What glTF cannot do of an avatar's motion: avatars that have lost it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.conventions import UNITS_PER_METRE

Float = NDArray[np.float32]

INFLUENCES = 4
"""Bones a vertex of JOINTS_0 and WEIGHTS_0."""

MM_PER_UNIT = 1e3 / UNITS_PER_METRE


class Influences(NamedTuple):
    """The strongest bones of each vertex."""

    joints: NDArray[np.uint8]  # [V, 4] strongest first; zero where the weight is
    weights: Float  # [V, 4] rows sum to one
    lost: float
    """Largest weight of a vertex that was given up."""


def strongest(skin_weights: Float) -> Influences:
    """The four largest of the weights `[J, V]`, made to sum to one again."""
    order = np.argsort(-skin_weights, axis=0, kind="stable")[:INFLUENCES]
    kept = np.take_along_axis(skin_weights, order, axis=0).astype(np.float64)
    total = kept.sum(axis=0)
    weights = (kept / total).astype(np.float32)
    joints = np.where(weights > 0, order, 0).astype(np.uint8)
    return Influences(
        np.ascontiguousarray(joints.T), np.ascontiguousarray(weights.T), max(0.0, float((1 - total).max()))
    )


def with_four_influences(avatar: Avatar) -> Avatar:
    """`avatar` with the skin weights that fit into JOINTS_0."""
    kept = strongest(avatar.skin_weights)
    weights = np.zeros_like(avatar.skin_weights)
    for joint, weight in zip(kept.joints.T, kept.weights.T, strict=True):
        weights[joint, np.arange(avatar.vertex_count)] += weight
    return replace(avatar, skin_weights=weights)


def without_correctives(avatar: Avatar) -> Avatar:
    """`avatar` without pose correctives, which follow rotation matrices, and no engine computes those for a weight."""
    return replace(avatar, pose_basis=np.zeros_like(avatar.pose_basis))


def with_expressions(avatar: Avatar, names: Collection[str]) -> Avatar:
    """`avatar` whose other expressions do nothing."""
    kept = np.array([name in names for name in avatar.expression_names])
    return replace(avatar, expression_basis=avatar.expression_basis * kept[:, None, None].astype(np.float32))


def with_fixed_joints(avatar: Avatar) -> Avatar:
    """`avatar` whose joints stay where the neutral expression has them."""
    return replace(avatar, joint_basis=np.zeros_like(avatar.joint_basis))
