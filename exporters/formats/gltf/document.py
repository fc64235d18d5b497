"""A figure: one mesh with its morph targets, skin and bones, as the nodes, meshes and skins of a glTF document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

import imavatar_deploy
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.rendering.posing import vertex_normals

from ...skeleton import joint_names, joint_parents, joints_at_rest, rest_normals
from .container import INDICES, VERTICES, Container
from .materials import Texture, add_colours, add_texture, colour_offset, corners
from .morph_targets import MorphTarget, strongest

# Bones as glTF nodes: where they stand at rest, who carries whom, and which of them the skin listens to.


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
        for name, parent, above, position in zip(
            names, joint_parents(avatar), first, positions, strict=True
        )
    ]


def bone_nodes(bones: list[Bone], first: int) -> list[dict[str, Any]]:
    """The bones as nodes numbered from `first`; a bone without a parent is a root of the scene."""
    where = {bone.name: np.array(bone.position) for bone in bones}
    nodes: list[dict[str, Any]] = []
    for bone in bones:
        origin = where[bone.parent] if bone.parent else np.zeros(3)
        children = [
            first + number for number, other in enumerate(bones) if other.parent == bone.name
        ]
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


Index = NDArray[np.intp]

MESH_NODE = 0
"""The mesh comes first; the bones follow."""


@dataclass(frozen=True)
class GltfDocument:
    """What is to be written."""

    avatar: Avatar
    look: Float | Texture  # colours [V, 3] sRGB, or an atlas
    targets: list[MorphTarget]
    skin: list[Bone]
    """In the order of the avatar's skin weights."""
    licence: Mapping[str, str]
    body: list[Bone] = field(default_factory=list)
    """Bones without skin."""
    raised: float = 0.0
    """Metres by which the mesh stands above the head model's origin."""
    target_normals: bool = False
    colours_at: Mapping[str, Float] = field(default_factory=dict)
    """Target's name -> colours `[V, 3]` sRGB at its full weight; targets without keep those of the neutral face."""


def bone_node(figure: GltfDocument, name: str) -> int:
    """Number of a bone's node."""
    return MESH_NODE + 1 + [bone.name for bone in _bones(figure)].index(name)


def figure_document(figure: GltfDocument) -> Container:
    """The document of a figure, which stands still; clips and extensions may be added to it."""
    bones = _bones(figure)
    roots = [MESH_NODE + 1 + number for number, bone in enumerate(bones) if bone.parent is None]
    container = Container(
        {
            "asset": _asset(figure.licence),
            "scene": 0,
            "scenes": [{"name": "avatar", "nodes": [MESH_NODE, *roots]}],
            "nodes": [{"name": "head", "mesh": 0, "skin": 0}, *bone_nodes(bones, MESH_NODE + 1)],
        }
    )
    container.document["meshes"] = [_mesh(container, figure)]
    container.document["skins"] = [
        {
            "name": "head",
            "joints": [bone_node(figure, bone.name) for bone in figure.skin],
            "inverseBindMatrices": container.add(inverse_bind_matrices(figure.skin)),
        }
    ]
    return container


def _bones(figure: GltfDocument) -> list[Bone]:
    return [*figure.body, *figure.skin]


def _asset(licence: Mapping[str, str]) -> dict[str, Any]:
    return {
        "version": "2.0",
        "generator": f"imavatar-deploy {imavatar_deploy.__version__}",
        "copyright": licence["conditions"],
        "extras": {"licence": dict(licence)},
    }


def _mesh(container: Container, figure: GltfDocument) -> dict[str, Any]:
    source, faces = corners(figure.avatar, figure.look)
    primitive: dict[str, Any] = {
        "attributes": _attributes(container, figure, source),
        "indices": container.add(faces.astype(np.uint32).ravel(), target=INDICES),
        "material": 0,
        "mode": 4,
    }
    mesh: dict[str, Any] = {"name": "head", "primitives": [primitive]}
    if figure.targets:
        primitive["targets"] = [
            _morph(container, figure, target, source) for target in figure.targets
        ]
        mesh |= {
            "weights": [0.0] * len(figure.targets),
            "extras": {"targetNames": [target.name for target in figure.targets]},
        }
    return mesh


def _attributes(container: Container, figure: GltfDocument, source: Index) -> dict[str, int]:
    skin = strongest(figure.avatar.skin_weights)
    positions = _metres(figure.avatar.rest) + np.array([0, figure.raised, 0], dtype=np.float32)
    plain = {
        "POSITION": container.add(positions[source], target=VERTICES, bounds=True),
        "NORMAL": container.add(_unit_normals(figure.avatar)[source], target=VERTICES),
        "JOINTS_0": container.add(skin.joints[source], target=VERTICES),
        "WEIGHTS_0": container.add(skin.weights[source], target=VERTICES),
    }
    look = figure.look
    return plain | (
        add_texture(container, look) if isinstance(look, Texture) else add_colours(container, look)
    )


def _morph(
    container: Container, figure: GltfDocument, target: MorphTarget, source: Index
) -> dict[str, int]:
    """A target's accessors."""
    offset = target.quietened()
    morph = {"POSITION": container.add_sparse(_metres(offset)[source], bounds=True)}
    if figure.target_normals:
        rest, faces = figure.avatar.rest, figure.avatar.faces
        turned = vertex_normals((rest + offset).T, faces) - vertex_normals(rest.T, faces)
        morph["NORMAL"] = container.add_sparse(turned[source])
    if figure.colours_at and not isinstance(
        figure.look, Texture
    ):  # then of every target: loaders want all or none
        offset_of = colour_offset(figure.look, figure.colours_at.get(target.name, figure.look))
        morph["COLOR_0"] = container.add_sparse(offset_of[source])
    return morph


def _unit_normals(avatar: Avatar) -> Float:
    """[V, 3] unit normals of the surface at rest."""
    normals = rest_normals(avatar)
    normals[~normals.any(axis=1)] = (
        0,
        0,
        1,
    )  # a vertex without area has none, and a file may not say so
    return normals


def _metres(planar: Float) -> Float:
    """`[3, V]` model units -> `[V, 3]` metres."""
    return np.ascontiguousarray(planar.T / np.float32(UNITS_PER_METRE))
