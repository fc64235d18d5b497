"""Bones as glTF nodes: where they stand at rest, who carries whom, and which of them the skin listens to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.conventions import BONES, GHOST_BONE, PARENTS, UNITS_PER_METRE

Float = NDArray[np.float32]
Double = NDArray[np.float64]


@dataclass(frozen=True)
class Bone:
    """One node of a skeleton; at rest none is turned."""

    name: str
    parent: str | None
    position: tuple[float, float, float]
    """In metres, in the space of the mesh."""


def head_bones(avatar: Avatar, *, carried_by: str | None = None, raised: float = 0.0) -> list[Bone]:
    """The skin's bones in the order of its weights; the ghost bone, which never moves, carries the others.

    Args:
        carried_by: a bone above them.
        raised: metres to lift all of them.
    """
    positions = avatar.joints_rest.astype(np.float64) / UNITS_PER_METRE + [0, raised, 0]
    root = GHOST_BONE if avatar.bone_count > len(BONES) else carried_by
    bones = [
        Bone(name, BONES[parent] if parent >= 0 else root, _triple(position))
        for name, parent, position in zip(BONES, PARENTS, positions, strict=True)
    ]
    return [Bone(GHOST_BONE, carried_by, (0.0, raised, 0.0)), *bones] if root == GHOST_BONE else bones


def bone_nodes(bones: list[Bone], first: int) -> list[dict[str, Any]]:
    """The bones as nodes numbered from `first`; a bone without a parent is a root of the scene."""
    where = {bone.name: np.array(bone.position) for bone in bones}
    nodes: list[dict[str, Any]] = []
    for bone in bones:
        origin = where[bone.parent] if bone.parent else np.zeros(3)
        children = [first + number for number, other in enumerate(bones) if other.parent == bone.name]
        node = {"name": bone.name, "translation": (where[bone.name] - origin).tolist()}
        nodes.append(node | ({"children": children} if children else {}))
    return nodes


def inverse_bind_matrices(bones: list[Bone]) -> Float:
    """[J, 4, 4] from the mesh's space to each bone's, column by column as glTF stores matrices."""
    matrices = np.tile(np.eye(4), (len(bones), 1, 1))
    matrices[:, 3, :3] = [[-axis for axis in bone.position] for bone in bones]
    return matrices.astype(np.float32)


def _triple(position: Double) -> tuple[float, float, float]:
    x, y, z = position.tolist()
    return x, y, z
