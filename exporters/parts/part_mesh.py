"""PartMesh: vertices and faces that are appended to the skin, with their motion and colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from imavatar_deploy.arrays import Array, Float32, Int32, Int64
from imavatar_deploy.avatar import canonical_pose
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.kinematics import pose_feature, skinning_transforms
from imavatar_deploy.optional import require

from . import PARTS
from .colours import MATERIALS, MouthPalette


@dataclass(frozen=True)
class PartMesh:
    """P vertices in the layout of an avatar's fields; lengths in model units."""

    rest: Float32[Array, "P 3"]
    """Positions before blendshapes, correctives and skinning."""
    expression: Float32[Array, "P 3 E"]
    pose: Float32[Array, "P 36 3"]
    weights: Float32[Array, "P J"]
    faces: Int64[Array, "F 3"]
    """Corners: a negative number -1 - v is the skin's vertex v, any other one is of this mesh."""
    part: Int32[Array, " P"]
    """Index in `PARTS` plus one."""
    colour: Float32[Array, "P 3"]
    """Colour at rest, sRGB in 0..1."""
    skin: Int64[Array, " P"]
    """Vertex of the skin whose colour is mixed in."""
    skin_share: Float32[Array, " P"]
    """Share of that colour, 0..1."""
    material: Float32[Array, "P M"]
    """Shares of the `colours.MATERIALS`; all zero where the colours are not made of them."""
    shade: Float32[Array, " P"]
    """How dark it is in the mouth, 0..1."""

    def canonical(self, joints: Float32[Array, "5 3"]) -> Float32[Array, "P 3"]:
        """Return the positions in canonical space, for joints of the neutral expression."""
        pose = canonical_pose()
        transforms = skinning_transforms(pose, joints, self.weights.shape[1])
        blended = np.einsum("pj,jrc->prc", self.weights, transforms[:, :3])
        shaped = self.rest + np.einsum("pfc,f->pc", self.pose, pose_feature(pose))
        return np.asarray(
            np.einsum("prc,pc->pr", blended[:, :, :3], shaped) + blended[:, :, 3], np.float32
        )

    def corners(self, skin_vertices: int) -> Int64[Array, "F 3"]:
        """Return the faces for a mesh in which this one follows the skin's vertices."""
        return np.where(self.faces < 0, -1 - self.faces, self.faces + skin_vertices)

    def painted(self, palette: MouthPalette) -> PartMesh:
        """Return the mesh with the colours of a palette where it is made of its materials."""
        made = self.material.any(axis=1)
        colour = self.colour.copy()
        colour[made] = palette.colours(self.material[made], self.shade[made])
        return replace(self, colour=colour)


def part_number(name: str) -> int:
    """Return the label of a part's vertices."""
    return 1 + PARTS.index(name)


def joined(meshes: Sequence[PartMesh]) -> PartMesh:
    """Join several meshes to one."""
    starts = np.cumsum([0, *(len(mesh.rest) for mesh in meshes)])
    moved = [
        replace(mesh, faces=np.where(mesh.faces < 0, mesh.faces, mesh.faces + start))
        for mesh, start in zip(meshes, starts, strict=False)
    ]
    names = [field.name for field in fields(PartMesh)]
    return PartMesh(*(np.concatenate([getattr(mesh, name) for mesh in moved]) for name in names))


def unposed(
    canonical: Float32[Array, "P 3"],
    weights: Float32[Array, "P J"],
    pose_basis: Float32[Array, "P 36 3"],
    joints: Float32[Array, "5 3"],
) -> Float32[Array, "P 3"]:
    """Rest positions of canonical points: the inverse of `PartMesh.canonical`."""
    pose = canonical_pose()
    transforms = skinning_transforms(pose, joints, weights.shape[1]).astype(np.float64)
    blended = np.einsum("pj,jrc->prc", weights, transforms[:, :3])
    offset = (canonical - blended[:, :, 3])[..., None]
    shaped = np.linalg.solve(blended[:, :, :3], offset)[..., 0]
    correctives = np.einsum("pfc,f->pc", pose_basis, pose_feature(pose))
    return np.asarray(shaped - correctives, dtype=np.float32)


def of_head_model(
    head: HeadModel, groups: Sequence[str], bones: int, subdivisions: int
) -> tuple[PartMesh, Float32[Array, "P 3"]]:
    """The vertices of some groups of a head model, with its motion, subdivided.

    Args:
        head: the subject's head model.
        groups: names in `HeadModel.vertex_groups`.
        bones: J, with the ghost bone or without.
        subdivisions: steps of Loop subdivision.

    Returns:
        The mesh without colours and labels, and the vertices of the template, model units.
    """
    own = np.isin(head.vertex_groups, groups)
    row = np.cumsum(own) - 1
    faces = row[head.faces[own[head.faces].all(axis=1)]].astype(np.int64)
    scale = UNITS_PER_METRE
    columns = [
        scale * head.template[own],
        scale * head.expression_basis[own],
        scale * head.pose_basis[own].transpose(0, 2, 1),
        head.weights[own],
    ]
    table = np.concatenate([c.reshape(len(c), -1) for c in columns], axis=1).astype(np.float64)
    if subdivisions:
        table, faces = require("igl", extra="export").loop(table, faces, subdivisions)
    ends = np.cumsum([column[0].size for column in columns])[:-1]
    rest, expression, pose, weights = (
        np.ascontiguousarray(part, dtype=np.float32).reshape(-1, *column.shape[1:])
        for part, column in zip(np.split(table, ends, axis=1), columns, strict=True)
    )
    if bones > weights.shape[1]:
        weights = np.concatenate([np.zeros_like(weights[:, :1]), weights], axis=1)
    return uncoloured(rest, expression, pose, weights, np.asarray(faces, np.int64)), rest


def uncoloured(
    rest: Float32[Array, "P 3"],
    expression: Float32[Array, "P 3 E"],
    pose: Float32[Array, "P 36 3"],
    weights: Float32[Array, "P J"],
    faces: Int64[Array, "F 3"],
) -> PartMesh:
    """A mesh of no part yet, black and without a share of the skin's colours."""
    count = len(rest)
    return PartMesh(
        rest,
        expression,
        pose,
        weights,
        faces,
        np.zeros(count, np.int32),
        np.zeros((count, 3), np.float32),
        np.zeros(count, np.int64),
        np.zeros(count, np.float32),
        np.zeros((count, len(MATERIALS)), np.float32),
        np.zeros(count, np.float32),
    )
