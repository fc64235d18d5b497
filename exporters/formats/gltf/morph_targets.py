"""Morph targets of a GLB: expressions, jaw correctives, and selection of the largest.

Also avatars reduced to what glTF can represent: four skinning weights a vertex, no pose
correctives, fixed joints.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from imavatar_deploy.arrays import Array, Float32, UInt8
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.conventions import JAW, POSE_SIZE, UNITS_PER_METRE
from imavatar_deploy.errors import UsageError
from imavatar_deploy.kinematics import pose_feature
from imavatar_deploy.rendering.posing import pose_plainly

from ...skeleton import NEUTRAL_EXPRESSION

MM_PER_UNIT = 1e3 / UNITS_PER_METRE
"""Millimetres a model unit."""


# Avatars reduced to what glTF can represent

INFLUENCES = 4
"""Number of bones a vertex in JOINTS_0 and WEIGHTS_0."""


class Influences(NamedTuple):
    """The bones with the largest weights of each vertex."""

    joints: UInt8[Array, "V 4"]  # largest weight first; zero where the weight is zero
    weights: Float32[Array, "V 4"]  # rows sum to one
    lost: float
    """Largest sum of dropped weights of a vertex."""


def strongest(skin_weights: Float32[Array, "J V"]) -> Influences:
    """The four largest weights of each vertex, normalised to sum to one."""
    order = np.argsort(-skin_weights, axis=0, kind="stable")[:INFLUENCES]
    largest = np.take_along_axis(skin_weights, order, axis=0).astype(np.float64)
    total = largest.sum(axis=0)
    weights = (largest / total).astype(np.float32)
    joints = np.where(weights > 0, order, 0).astype(np.uint8)
    return Influences(
        np.ascontiguousarray(joints.T),
        np.ascontiguousarray(weights.T),
        max(0.0, float((1 - total).max())),
    )


def with_four_influences(avatar: Avatar) -> Avatar:
    """`avatar` with the skin weights that JOINTS_0 can hold."""
    influences = strongest(avatar.skin_weights)
    weights = np.zeros_like(avatar.skin_weights)
    for joint, weight in zip(influences.joints.T, influences.weights.T, strict=True):
        weights[joint, np.arange(avatar.vertex_count)] += weight
    return replace(avatar, skin_weights=weights)


def without_correctives(avatar: Avatar) -> Avatar:
    """`avatar` without pose correctives: engines cannot compute weights from rotation matrices."""
    return replace(avatar, pose_basis=np.zeros_like(avatar.pose_basis))


def with_expressions(avatar: Avatar, names: Collection[str]) -> Avatar:
    """`avatar` with the named expressions only; the others do nothing."""
    enabled = np.array([name in names for name in avatar.expression_names], dtype=np.float32)
    return replace(avatar, expression_basis=avatar.expression_basis * enabled[:, None, None])


def with_fixed_joints(avatar: Avatar) -> Avatar:
    """`avatar` whose joints do not move with the expression."""
    return replace(avatar, joint_basis=np.zeros_like(avatar.joint_basis))


# Morph targets

JAW_OPEN = 0.4255
"""Angle of the wide open jaw about +X, radians: OpenHead's jaw then matches MakeHuman's jawOpen."""

JAW_CORRECTIVE = "jawOpenCorrective"
"""Name of the target with the pose correctives of the open jaw.

Its weight is the jaw's angle divided by JAW_OPEN.
"""

JAW_OPENING = "jawOpen"
"""Name of the target with the whole opening of the jaw, in a VRM."""

MIN_OFFSET_MM = 0.01
"""Smaller displacements are stored as zero: a tenth of a file's tolerance.

On the bundled sample a third of the targets becomes sparse: the file has 4.6 MB instead of 6.0 MB,
and an error of 0.05 mm with a quarter of all expressions at full weight.
"""


class MorphTarget(NamedTuple):
    """A displacement of the rest mesh for a weight of one."""

    name: str
    offset: Float32[Array, "3 V"]  # model units

    @property
    def largest_mm(self) -> float:
        """Largest displacement of a vertex, millimetres."""
        return MM_PER_UNIT * float(np.linalg.norm(self.offset, axis=0).max())

    def without_small_offsets(self) -> Float32[Array, "3 V"]:
        """The offset, zero where it is shorter than MIN_OFFSET_MM."""
        large = np.linalg.norm(self.offset, axis=0) * MM_PER_UNIT >= MIN_OFFSET_MM
        return np.where(large, self.offset, np.float32(0.0))


def expression_targets(avatar: Avatar, names: Sequence[str]) -> list[MorphTarget]:
    """One target for each expression.

    Raises:
        UsageError: the number of names differs from that of the expressions.
    """
    if len(names) != avatar.expression_size:
        raise UsageError(
            f"{avatar.expression_size} expressions need as many names, got {len(names)}"
        )
    return [
        MorphTarget(name, offset)
        for name, offset in zip(names, avatar.expression_basis, strict=True)
    ]


def largest(
    targets: list[MorphTarget],
    limit: int,
    count: Callable[[MorphTarget], int] = lambda target: 1,
) -> tuple[list[MorphTarget], dict[str, float]]:
    """Select the targets with the largest displacements, `limit` of them.

    Args:
        targets: to select from.
        limit: how many targets a file may have.
        count: number of the file's targets that a target needs.

    Returns:
        These targets in their order, and the largest displacement (mm) of each of the others.
    """
    dropped: dict[str, float] = {}
    for target in sorted(targets, key=lambda target: target.largest_mm, reverse=True):
        if count(target) <= limit:
            limit -= count(target)
        else:
            dropped[target.name] = target.largest_mm
    return [target for target in targets if target.name not in dropped], dropped


def open_jaw() -> Float32[Array, "15"]:
    """Pose with the jaw at JAW_OPEN."""
    pose = np.zeros(POSE_SIZE, dtype=np.float32)
    pose[JAW.start] = JAW_OPEN
    return pose


def jaw_corrective(avatar: Avatar) -> MorphTarget:
    """Target with the pose correctives of the open jaw, in addition to the jaw's bone."""
    return MorphTarget(
        JAW_CORRECTIVE,
        np.tensordot(pose_feature(open_jaw()), avatar.pose_basis, 1).astype(np.float32),
    )


def jaw_opening(avatar: Avatar) -> MorphTarget:
    """Target with the whole opening of the jaw: the bone's rotation and the pose correctives.

    It is for programs that open the jaw by an expression.
    """
    opened = pose_plainly(with_four_influences(avatar), NEUTRAL_EXPRESSION, open_jaw()).vertices
    return MorphTarget(JAW_OPENING, np.ascontiguousarray(opened.T - avatar.rest))
