"""Subject: the surfaces a head consists of, with everything the networks shall say about each of their points."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.arrays import read_only
from imavatar_deploy.avatar import canonical_pose
from imavatar_deploy.checks import Dimension, ensure_shape
from imavatar_deploy.conventions import BONES, EXPRESSION_SIZE, POSE_FEATURE_SIZE, UNITS_PER_METRE
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.kinematics import pose_feature, skinning_transforms
from imavatar_deploy.optional import require

Float = NDArray[np.float32]
Faces = NDArray[np.int64]

SHAPES: dict[str, tuple[Dimension, ...]] = {
    "rest": ("V", 3),
    "faces": ("F", 3),
    "parts": ("V",),
    "expression": ("V", 3, EXPRESSION_SIZE),
    "pose": ("V", 3, POSE_FEATURE_SIZE),
    "weights": ("V", len(BONES) + 1),
    "colour": ("V", 3),
    "flush": ("V", 3),
    "importance": ("V",),
}


@dataclass(frozen=True)
class HeadSurface:
    """Closed surfaces ("parts": skin, eyeballs, teeth, tongue) with per-vertex targets, in model units.

    Parts may overlap; the head is their union. Layouts follow the head model, so the pose index comes last.
    """

    head: HeadModel  # the subject's own shape is in the template
    rest: Float  # [V, 3] before blendshapes, correctives and skinning
    faces: Faces  # [F, 3] counter-clockwise seen from outside
    parts: NDArray[np.int64]  # [V] the connected surface each vertex belongs to
    expression: Float  # [V, 3, 50]
    pose: Float  # [V, 3, 36]
    weights: Float  # [V, 6] ghost bone first
    colour: Float  # [V, 3] unlit, 0..1
    flush: Float  # [V, 3] what a full smile adds to the colour
    importance: Float  # [V] how much denser than elsewhere samples shall lie

    def __post_init__(self) -> None:
        sizes: dict[str, int] = {}
        for name, shape in SHAPES.items():
            known = [sizes.get(size, size) if isinstance(size, str) else size for size in shape]
            sizes |= ensure_shape(f"subject {name}", getattr(self, name), known)

    @classmethod
    def from_head(
        cls,
        head: HeadModel,
        *,
        subdivisions: int = 0,
        colour: tuple[float, float, float] = (0.8,) * 3,
    ) -> HeadSurface:
        """The head model's own mesh, smoothed by Loop subdivision (each step quadruples the faces), in one colour.

        Every attribute is subdivided with the same matrix, so the smooth surface moves as the smoothed motion would.
        """
        igl = require("igl", extra="train")
        faces = cap_holes(head.template, head.faces.astype(np.int64))
        scale = np.float32(UNITS_PER_METRE)
        attributes = (
            scale * head.template,
            scale * head.expression_basis,
            scale * head.pose_basis,
            head.weights,
        )
        (rest, expression, pose, weights), faces = _subdivide(attributes, faces, subdivisions)
        count = len(rest)
        return cls(
            head=head,
            rest=rest,
            faces=faces,
            parts=np.asarray(igl.vertex_components(faces), dtype=np.int64),
            expression=expression,
            pose=pose,
            weights=np.concatenate([np.zeros((count, 1), dtype=np.float32), weights], axis=1),
            colour=np.tile(np.array(colour, dtype=np.float32), (count, 1)),
            flush=np.zeros((count, 3), dtype=np.float32),
            importance=np.ones(count, dtype=np.float32),
        )

    @cached_property
    def canonical(self) -> Float:
        """[V, 3] the surface where the networks see it: neutral, the jaw slightly open."""
        return read_only(self.posed(np.zeros(EXPRESSION_SIZE, dtype=np.float32), canonical_pose()))

    @cached_property
    def normals(self) -> Float:
        """[V, 3] unit normals of the canonical surface."""
        return read_only(vertex_normals(self.canonical, self.faces))

    def posed(self, expression: Float, pose: Float) -> Float:
        """[V, 3] the surface with an expression `[50]` and a pose `[15]` (IMavatar, equations 2-4)."""
        joints = UNITS_PER_METRE * self.head.joints(expression)
        transforms = np.einsum(
            "vj,jab->vab", self.weights, skinning_transforms(pose, joints, self.weights.shape[1])
        )
        moved = self.rest + self.expression @ expression + self.pose @ pose_feature(pose)
        return np.asarray(
            np.einsum("vab,vb->va", transforms[:, :3, :3], moved) + transforms[:, :3, 3],
            dtype=np.float32,
        )


def _subdivide(
    attributes: tuple[Float, ...], faces: Faces, steps: int
) -> tuple[list[Float], Faces]:
    flat = [values.reshape(len(values), -1) for values in attributes]
    table = np.concatenate(flat, axis=1).astype(np.float64)
    if steps:
        table, faces = require("igl", extra="train").loop(table, faces, steps)
    ends = np.cumsum([values.shape[1] for values in flat])[:-1]
    columns = np.split(table.astype(np.float32), ends, axis=1)
    return [
        np.ascontiguousarray(column).reshape(-1, *values.shape[1:])
        for column, values in zip(columns, attributes, strict=True)
    ], np.asarray(faces, dtype=np.int64)


def cap_holes(vertices: Float, faces: Faces) -> Faces:
    """Close every hole with the triangles of least area, so that inside and outside are defined. No vertex is added."""
    edges = {
        frozenset(edge)
        for edge in np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).tolist()
    }
    igl = require("igl", extra="train")
    caps = [_cap(vertices, np.asarray(loop)[::-1], edges) for loop in igl.boundary_loop_all(faces)]
    return np.concatenate([faces, *caps])


def _cap(vertices: Float, rim: NDArray[np.int64], edges: set[frozenset[int]]) -> Faces:
    """Triangulate the closed polygon `rim` with least area, by dynamic programming (Barequet and Sharir 1995).

    No diagonal may be an edge the mesh already has: four faces would meet there.
    """
    corner = vertices[rim].astype(np.float64)
    size = len(rim)
    cost, split = np.zeros((size, size)), np.zeros((size, size), dtype=np.int64)
    for width in range(2, size):
        for first in range(size - width):
            last = first + width
            middle = np.arange(first + 1, last)
            sides = np.cross(corner[middle] - corner[first], corner[last] - corner[first])
            total = cost[first, middle] + cost[middle, last] + np.linalg.norm(sides, axis=-1)
            split[first, last] = middle[np.argmin(total)]
            taken = width < size - 1 and frozenset((int(rim[first]), int(rim[last]))) in edges
            cost[first, last] = np.inf if taken else total.min()
    return rim[np.asarray(_triangles(split, 0, size - 1), dtype=np.int64)]


def _triangles(split: NDArray[np.int64], first: int, last: int) -> list[tuple[int, int, int]]:
    """Read the best triangulation of the rim between two corners back from the table of best third corners."""
    if last - first < 2:
        return []
    middle = int(split[first, last])
    return [
        (first, middle, last),
        *_triangles(split, first, middle),
        *_triangles(split, middle, last),
    ]


def vertex_normals(vertices: Float, faces: Faces) -> Float:
    """[V, 3] area-weighted unit normals."""
    corner = vertices[faces]
    face_normals = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    sums = np.stack(
        [
            np.bincount(faces.ravel(), np.repeat(face_normals[:, axis], 3), len(vertices))
            for axis in range(3)
        ],
        axis=1,
    )
    return np.asarray(
        sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-20), dtype=np.float32
    )
