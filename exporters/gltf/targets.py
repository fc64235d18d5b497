"""Morph targets: the expressions, what the jaw's opening adds to its bone, and which of them an engine's cap leaves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.conventions import JAW, POSE_SIZE
from imavatar_deploy.errors import UsageError
from imavatar_deploy.kinematics import pose_feature
from imavatar_deploy.rendering.posing import pose_plainly

from ..at_rest import NEUTRAL
from .limits import MM_PER_UNIT, with_four_influences

Float = NDArray[np.float32]

JAW_OPEN = 0.4255
"""Radians about +X of a jaw wide open: the angle at which OpenHead's jaw makes MakeHuman's jawOpen."""

JAW_CORRECTIVE = "jawOpenCorrective"
"""What the skin does beside the bone when the jaw opens; its weight is the jaw's angle over JAW_OPEN."""

QUIET_MM = 0.01
"""A displacement below this is written as none, a tenth of what a file may differ. On the bundled sample it makes a
third of them sparse: 4.6 MB instead of 6.0, 0.05 mm with a quarter of all expressions at full weight."""


class Target(NamedTuple):
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


def expression_targets(avatar: Avatar, names: Sequence[str]) -> list[Target]:
    """One target for each expression."""
    if len(names) != avatar.expression_size:
        raise UsageError(f"{avatar.expression_size} expressions need as many names, got {len(names)}")
    return [Target(name, offset) for name, offset in zip(names, avatar.expression_basis, strict=True)]


def largest(targets: list[Target], limit: int) -> tuple[list[Target], dict[str, float]]:
    """The `limit` targets with the largest displacements, in their old order, and (mm) what the others would move."""
    ranked = sorted(targets, key=lambda target: target.largest_mm, reverse=True)
    dropped = {target.name: target.largest_mm for target in ranked[max(0, limit) :]}
    return [target for target in targets if target.name not in dropped], dropped


def open_jaw() -> Float:
    """Pose `[15]` of the jaw at JAW_OPEN."""
    pose = np.zeros(POSE_SIZE, dtype=np.float32)
    pose[JAW.start] = JAW_OPEN
    return pose


def jaw_corrective(avatar: Avatar) -> Target:
    """The pose correctives of the open jaw alone; the bone does the rest."""
    return Target(JAW_CORRECTIVE, np.tensordot(pose_feature(open_jaw()), avatar.pose_basis, 1).astype(np.float32))


def jaw_opening(avatar: Avatar) -> Target:
    """The whole opening of the jaw, bone and correctives: for programs that know the jaw as an expression only."""
    moved = pose_plainly(with_four_influences(avatar), NEUTRAL, open_jaw()).vertices
    return Target("jawOpen", np.ascontiguousarray(moved.T - avatar.rest))
