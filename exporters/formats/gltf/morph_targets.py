"""Morph targets: the expressions, what the jaw's opening adds to its bone, and which of them an engine's cap leaves."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.conventions import JAW, POSE_SIZE, UNITS_PER_METRE
from imavatar_deploy.errors import UsageError
from imavatar_deploy.kinematics import pose_feature
from imavatar_deploy.rendering.posing import pose_plainly

from ...skeleton import NEUTRAL

# What glTF cannot do of an avatar's motion: avatars that have lost it.


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
        np.ascontiguousarray(joints.T),
        np.ascontiguousarray(weights.T),
        max(0.0, float((1 - total).max())),
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
    return replace(
        avatar, expression_basis=avatar.expression_basis * kept[:, None, None].astype(np.float32)
    )


def with_fixed_joints(avatar: Avatar) -> Avatar:
    """`avatar` whose joints stay where the neutral expression has them."""
    return replace(avatar, joint_basis=np.zeros_like(avatar.joint_basis))


JAW_OPEN = 0.4255
"""Radians about +X of a jaw wide open: the angle at which OpenHead's jaw makes MakeHuman's jawOpen."""

JAW_CORRECTIVE = "jawOpenCorrective"
"""What the skin does beside the bone when the jaw opens; its weight is the jaw's angle over JAW_OPEN."""

QUIET_MM = 0.01
"""A displacement below this is written as none, a tenth of what a file may differ. On the bundled sample it makes a
third of them sparse: 4.6 MB instead of 6.0, 0.05 mm with a quarter of all expressions at full weight."""


class MorphTarget(NamedTuple):
    """A displacement of the rest mesh for a weight of one."""

    name: str
    offset: Float  # [3, V] model units

    @property
    def largest_mm(self) -> float:
        """How far it moves the vertex that it moves most."""
        return MM_PER_UNIT * float(np.linalg.norm(self.offset, axis=0).max())

    def quietened(self) -> Float:
        """[3, V] the offset, zero where it is below QUIET_MM."""
        moved = np.linalg.norm(self.offset, axis=0) * MM_PER_UNIT >= QUIET_MM
        return np.where(moved, self.offset, np.float32(0.0))


def expression_targets(avatar: Avatar, names: Sequence[str]) -> list[MorphTarget]:
    """One target for each expression."""
    if len(names) != avatar.expression_size:
        raise UsageError(
            f"{avatar.expression_size} expressions need as many names, got {len(names)}"
        )
    return [
        MorphTarget(name, offset)
        for name, offset in zip(names, avatar.expression_basis, strict=True)
    ]


def largest(targets: list[MorphTarget], limit: int) -> tuple[list[MorphTarget], dict[str, float]]:
    """The `limit` targets with the largest displacements, in their old order, and (mm) what the others would move."""
    ranked = sorted(targets, key=lambda target: target.largest_mm, reverse=True)
    dropped = {target.name: target.largest_mm for target in ranked[max(0, limit) :]}
    return [target for target in targets if target.name not in dropped], dropped


def open_jaw() -> Float:
    """Pose `[15]` of the jaw at JAW_OPEN."""
    pose = np.zeros(POSE_SIZE, dtype=np.float32)
    pose[JAW.start] = JAW_OPEN
    return pose


def jaw_corrective(avatar: Avatar) -> MorphTarget:
    """The pose correctives of the open jaw alone; the bone does the rest."""
    return MorphTarget(
        JAW_CORRECTIVE,
        np.tensordot(pose_feature(open_jaw()), avatar.pose_basis, 1).astype(np.float32),
    )


def jaw_opening(avatar: Avatar) -> MorphTarget:
    """The whole opening of the jaw, bone and correctives: for programs that know the jaw as an expression only."""
    moved = pose_plainly(with_four_influences(avatar), NEUTRAL, open_jaw()).vertices
    return MorphTarget("jawOpen", np.ascontiguousarray(moved.T - avatar.rest))
