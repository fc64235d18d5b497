"""What glTF cannot do of an avatar's motion: the avatar as such a file moves it, and what each limit costs."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.animation.animate import pose_plainly
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


def with_fixed_joints(avatar: Avatar) -> Avatar:
    """`avatar` whose joints stay where the neutral expression has them."""
    return replace(avatar, joint_basis=np.zeros_like(avatar.joint_basis))


def live(avatar: Avatar) -> Avatar:
    """What a file moves when an engine sets its weights and bones: all three limits at once."""
    return with_four_influences(with_fixed_joints(without_correctives(avatar)))


LIMITS = {
    "four influences a vertex": with_four_influences,
    "joints that do not follow the expression": with_fixed_joints,
    "no pose correctives": without_correctives,
    "all of these": live,
}
"""What is lost -> the avatar that lost it."""


def losses_mm(avatar: Avatar, expression: Float, pose: Float) -> dict[str, float]:
    """The largest displacement (mm) that each limit costs over some frames `[T, 50]`, `[T, 15]`."""
    truth = [pose_plainly(avatar, *frame).vertices for frame in zip(expression, pose, strict=True)]
    found = {}
    for name, limited in LIMITS.items():
        other = limited(avatar)
        moved = (pose_plainly(other, *frame).vertices for frame in zip(expression, pose, strict=True))
        found[name] = MM_PER_UNIT * max(_farthest(a, b) for a, b in zip(truth, moved, strict=True))
    return found


def _farthest(a: Float, b: Float) -> float:
    return float(np.linalg.norm(a - b, axis=1).max())
