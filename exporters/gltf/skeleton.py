"""Bones as glTF nodes: where they stand at rest, who carries whom, and which of them the skin listens to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.avatar import Avatar

from ..skeleton import joint_names, joint_parents, joints_at_rest

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
    names, positions = joint_names(avatar), joints_at_rest(avatar) + np.array([0, raised, 0])
    first = [carried_by, *names[:1] * (len(names) - 1)]  # who carries a joint without a parent
    return [
        Bone(name, names[parent] if parent >= 0 else above, _triple(position))
        for name, parent, above, position in zip(names, joint_parents(avatar), first, positions, strict=True)
    ]


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
