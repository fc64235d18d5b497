"""GltfDocument: a mesh with morph targets, skin and bones as nodes, meshes and skins of glTF."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

import imavatar_deploy
from imavatar_deploy.arrays import Array, Float32, Float64, Integer
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.marking import extras
from imavatar_deploy.rendering.posing import vertex_normals

from ...skeleton import joint_names, joint_parents, joints_at_rest, rest_normals
from .compression import joints_in_use, new_container
from .container import Container
from .materials import Texture, add_colours, add_texture, colour_change, file_mesh
from .morph_targets import MorphTarget, strongest

MESH_NODE = 0
"""Index of the mesh's node; the nodes of the bones follow."""


# Bones as glTF nodes


@dataclass(frozen=True)
class Bone:
    """One node of a skeleton; at rest no bone is rotated."""

    name: str
    parent: str | None
    position: tuple[float, float, float]
    """In metres, in the space of the mesh."""


def head_bones(avatar: Avatar, *, parent: str | None = None, height: float = 0.0) -> list[Bone]:
    """The skin's bones in the order of its weights.

    Args:
        avatar: provides the joints at rest.
        parent: name of a bone that is the parent of the root.
        height: metres by which all bones are raised.
    """
    names = joint_names(avatar)
    positions = joints_at_rest(avatar) + np.array([0, height, 0])
    return [
        Bone(name, names[index] if index >= 0 else parent, _triple(position))
        for name, index, position in zip(names, joint_parents(avatar), positions, strict=True)
    ]


def bone_nodes(bones: list[Bone], first: int) -> list[dict[str, Any]]:
    """Nodes of the bones, with indices from `first`; a bone without a parent is a scene root."""
    positions = {bone.name: np.array(bone.position) for bone in bones}
    nodes: list[dict[str, Any]] = []
    for bone in bones:
        origin = positions[bone.parent] if bone.parent else np.zeros(3)
        children = [
            first + number for number, other in enumerate(bones) if other.parent == bone.name
        ]
        node = {"name": bone.name, "translation": (positions[bone.name] - origin).tolist()}
        nodes.append(node | ({"children": children} if children else {}))
    return nodes


def inverse_bind_matrices(bones: list[Bone], scale: float = 1.0) -> Float32[Array, "J 4 4"]:
    """Matrices from the mesh's space to each bone's, column by column as glTF stores them.

    Args:
        bones: of the skin.
        scale: metres a unit of the mesh.
    """
    matrices = np.tile(np.eye(4), (len(bones), 1, 1))
    matrices[:, 3, :3] = [[-axis for axis in bone.position] for bone in bones]
    matrices[:, :3] *= scale
    return matrices.astype(np.float32)


def _triple(position: Float64[Array, "3"]) -> tuple[float, float, float]:
    x, y, z = position.tolist()
    return x, y, z


# The document


@dataclass(frozen=True)
class GltfDocument:
    """Content of a GLB or VRM: mesh, colours, morph targets, bones and licence."""

    avatar: Avatar
    material: Float32[Array, "V 3"] | Texture
    """Vertex colours, sRGB, or a texture."""
    targets: list[MorphTarget]
    skin: list[Bone]
    """Bones of the skin, in the order of the avatar's skin weights."""
    licence: Mapping[str, str]
    body: list[Bone] = field(default_factory=list)
    """Bones without skin."""
    synthetic_mark: bool = True
    """Whether files carry the machine-readable mark of `imavatar_deploy.marking`."""
    height: float = 0.0
    """Metres by which the mesh is above the head model's origin."""
    turned: bool = False
    """Whether the face looks along -Z, as in VRM 0.x; the bones' positions have that direction."""
    lit: bool = False
    """Whether the scene lights the material."""
    target_normals: bool = False
    """Whether morph targets store normals."""
    colours_at: Mapping[str, Float32[Array, "V 3"]] = field(default_factory=dict)
    """Target's name -> sRGB colours at its full weight.

    The other targets keep the colours of the neutral face.
    """
    compression: str = "none"
    """A row of `compression.COMPRESSIONS`."""

    @property
    def follows_targets(self) -> bool:
        """Whether the colours follow the morph targets."""
        if isinstance(self.material, Texture) and self.material.neutral is None:
            return False
        return bool(self.colours_at)

    @cached_property
    def metres_a_unit(self) -> float:
        """Metres a unit of the stored positions.

        Quantised positions of mesh and targets are within -1..1.
        """
        if self.compression == "none":
            return 1.0
        rest = np.abs(self.avatar.rest).max() / UNITS_PER_METRE + abs(self.height)
        moved = (np.abs(target.offset).max() / UNITS_PER_METRE for target in self.targets)
        return float(max(rest, *moved))


def bone_node(document: GltfDocument, name: str) -> int:
    """Index of a bone's node."""
    return MESH_NODE + 1 + [bone.name for bone in _bones(document)].index(name)


def build_container(document: GltfDocument) -> Container:
    """Build the glTF structure of a document; clips and extensions may be added to it."""
    bones = _bones(document)
    roots = [MESH_NODE + 1 + number for number, bone in enumerate(bones) if bone.parent is None]
    container = new_container(
        {
            "asset": _asset(document),
            "scene": 0,
            "scenes": [{"name": "avatar", "nodes": [MESH_NODE, *roots]}],
            "nodes": [{"name": "head", "mesh": 0, "skin": 0}, *bone_nodes(bones, MESH_NODE + 1)],
        },
        document.compression,
    )
    container.document["meshes"] = [_mesh(container, document)]
    container.document["skins"] = [
        {
            "name": "head",
            "joints": [bone_node(document, bone.name) for bone in document.skin],
            "inverseBindMatrices": container.add(
                inverse_bind_matrices(document.skin, document.metres_a_unit)
            ),
        }
    ]
    return container


def _bones(document: GltfDocument) -> list[Bone]:
    return [*document.body, *document.skin]


def _asset(document: GltfDocument) -> dict[str, Any]:
    return {
        "version": "2.0",
        "generator": f"imavatar-deploy {imavatar_deploy.__version__}",
        "copyright": document.licence["conditions"],
        "extras": {"licence": dict(document.licence), **extras(document.synthetic_mark)},
    }


def _mesh(container: Container, document: GltfDocument) -> dict[str, Any]:
    source, faces = file_mesh(document.avatar, document.material)
    primitive: dict[str, Any] = {
        "attributes": _attributes(container, document, source),
        "indices": container.add_indices(faces.ravel()),
        "material": 0,
        "mode": 4,
    }
    mesh: dict[str, Any] = {"name": "head", "primitives": [primitive]}
    if document.targets:
        primitive["targets"] = [
            _morph(container, document, target, source) for target in document.targets
        ]
        mesh |= {
            "weights": [0.0] * len(document.targets),
            "extras": {"targetNames": [target.name for target in document.targets]},
        }
    return mesh


def _attributes(
    container: Container, document: GltfDocument, source: Integer[Array, " U"]
) -> dict[str, int]:
    """Accessors of the mesh, whose U vertices are the avatar's vertices `source`."""
    skin = strongest(document.avatar.skin_weights)
    joints = skin.joints
    if document.compression != "none":
        joints = joints_in_use(joints, skin.weights)
    unit = np.float32(document.metres_a_unit)
    positions = _metres(document.avatar.rest) + np.array([0, document.height, 0], dtype=np.float32)
    positions, normals = (
        _directed(document, rows)[source] for rows in (positions, _unit_normals(document.avatar))
    )
    geometry = {
        "POSITION": container.add_attribute("POSITION", positions / unit, bounds=True),
        "NORMAL": container.add_attribute("NORMAL", normals),
        "JOINTS_0": container.add_attribute("JOINTS_0", joints[source]),
        "WEIGHTS_0": container.add_attribute("WEIGHTS_0", skin.weights[source]),
    }
    if isinstance(document.material, Texture):
        if document.follows_targets:
            white = container.add_attribute("COLOR_0", document.material.white)
            geometry["COLOR_0"] = white
        return geometry | add_texture(container, document.material, lit=document.lit)
    return geometry | add_colours(container, document.material, lit=document.lit)


def _morph(
    container: Container,
    document: GltfDocument,
    target: MorphTarget,
    source: Integer[Array, " U"],
) -> dict[str, int]:
    """Accessors of a morph target."""
    offset = target.without_small_offsets()
    moved = _directed(document, _metres(offset)) / np.float32(document.metres_a_unit)
    morph = {
        "POSITION": container.add_attribute("POSITION", moved[source], bounds=True, morph=True)
    }
    if document.target_normals:
        rest, faces = document.avatar.rest, document.avatar.faces
        difference = vertex_normals((rest + offset).T, faces) - vertex_normals(rest.T, faces)
        turned = _directed(document, difference)
        morph["NORMAL"] = container.add_attribute("NORMAL", turned[source], morph=True)
    if document.follows_targets:
        # Loaders require COLOR_0 of every target or of none.
        colours = document.colours_at.get(target.name)
        change = (
            np.zeros((document.avatar.vertex_count, 4), dtype=np.float32)
            if colours is None
            else colour_change(document.material, colours)
        )
        morph["COLOR_0"] = container.add_colour_change(change[source])
    return morph


def _unit_normals(avatar: Avatar) -> Float32[Array, "V 3"]:
    """Unit normals at rest; +Z for vertices without area, since glTF requires unit vectors."""
    normals = rest_normals(avatar)
    normals[~normals.any(axis=1)] = (0, 0, 1)
    return normals


def _directed(document: GltfDocument, rows: Float32[Array, "V 3"]) -> Float32[Array, "V 3"]:
    """Points or directions in the file's space, in which the face may look along -Z."""
    half_turn = np.array([-1, 1, -1], dtype=np.float32)
    return np.asarray(rows * half_turn) if document.turned else rows


def _metres(planar: Float32[Array, "3 V"]) -> Float32[Array, "V 3"]:
    """Convert planar positions in model units to rows in metres."""
    return np.ascontiguousarray(planar.T / np.float32(UNITS_PER_METRE))
