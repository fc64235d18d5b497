"""HeadSurface: the closed surfaces of a head, with the targets of the networks at every vertex."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from imavatar_deploy.arrays import Array, Float32, Int64, Integer, read_only
from imavatar_deploy.avatar import canonical_pose
from imavatar_deploy.checks import Dimension, ensure_shape
from imavatar_deploy.conventions import BONES, EXPRESSION_SIZE, POSE_FEATURE_SIZE, UNITS_PER_METRE
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.kinematics import pose_feature, skinning_transforms
from imavatar_deploy.optional import require

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
"""The shape of every array, which the constructor checks."""


@dataclass(frozen=True)
class HeadSurface:
    """Closed surfaces, the parts of a head, with targets per vertex, in model units.

    Parts are skin, eyeballs, teeth and tongue.

    Parts may overlap; the head is their union. Layouts follow the head model, so the pose index
    comes last.

    Raises:
        InputError: an array has a wrong shape.
    """

    head: HeadModel  # with the subject's shape in its template
    rest: Float32[Array, "..."]  # [V, 3] before blendshapes, correctives and skinning
    faces: Int64[Array, "..."]  # [F, 3] counter-clockwise as seen from outside
    parts: Int64[Array, "..."]  # [V] index of the connected surface of a vertex
    expression: Float32[Array, "..."]  # [V, 3, 50] displacement per unit of expression
    pose: Float32[Array, "..."]  # [V, 3, 36] displacement per unit of pose feature
    weights: Float32[Array, "..."]  # [V, 6] of the bones, ghost bone first
    colour: Float32[Array, "..."]  # [V, 3] unlit, 0..1
    flush: Float32[Array, "..."]  # [V, 3] colour that a full smile adds
    importance: Float32[Array, "..."]  # [V] relative density of samples

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
        """Make a surface of one colour from a head model's mesh.

        Holes are closed. Every attribute is subdivided with the same matrix as the vertices.

        Args:
            subdivisions: steps of Loop subdivision, each of which quadruples the faces.
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
    def canonical(self) -> Float32[Array, "V 3"]:
        """Vertices in canonical space, where the networks are evaluated: the jaw slightly open."""
        return read_only(
            self.pose_vertices(np.zeros(EXPRESSION_SIZE, dtype=np.float32), canonical_pose())
        )

    @cached_property
    def normals(self) -> Float32[Array, "V 3"]:
        """Unit normals of the canonical surface."""
        return read_only(vertex_normals(self.canonical, self.faces))

    def pose_vertices(
        self, expression: Float32[Array, " E"], pose: Float32[Array, "15"]
    ) -> Float32[Array, "V 3"]:
        """Vertices with an expression and a pose (IMavatar, equations 2-4)."""
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
    attributes: tuple[Float32[Array, "V ..."], ...], faces: Int64[Array, "F 3"], steps: int
) -> tuple[list[Float32[Array, "W ..."]], Int64[Array, "G 3"]]:
    """Subdivide the faces and all attributes of the vertices, by the same matrix."""
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


def cap_holes(vertices: Float32[Array, "V 3"], faces: Int64[Array, "F 3"]) -> Int64[Array, "G 3"]:
    """Close every hole with triangles of least area, without new vertices.

    Inside and outside are then defined.
    """
    edges = {
        frozenset(edge)
        for edge in np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).tolist()
    }
    igl = require("igl", extra="train")
    caps = [_cap(vertices, np.asarray(loop)[::-1], edges) for loop in igl.boundary_loop_all(faces)]
    return np.concatenate([faces, *caps])


def _cap(
    vertices: Float32[Array, "V 3"], rim: Int64[Array, " R"], edges: set[frozenset[int]]
) -> Int64[Array, "F 3"]:
    """Triangulate the closed polygon `rim` with least area (Barequet and Sharir 1995).

    `cost[a, b]` is the least area of the polygon of the corners a to b, and `split[a, b]` the
    corner that forms a triangle with a and b there. No diagonal may be an edge that the mesh
    already has: four faces would meet there.
    """
    corner = vertices[rim].astype(np.float64)
    size = len(rim)
    cost = np.zeros((size, size))
    split = np.zeros((size, size), dtype=np.int64)
    for width in range(2, size):
        for first in range(size - width):
            last = first + width
            middle = np.arange(first + 1, last)
            sides = np.cross(corner[middle] - corner[first], corner[last] - corner[first])
            total = cost[first, middle] + cost[middle, last] + np.linalg.norm(sides, axis=-1)
            split[first, last] = middle[np.argmin(total)]
            is_edge = width < size - 1 and frozenset((int(rim[first]), int(rim[last]))) in edges
            cost[first, last] = np.inf if is_edge else total.min()
    return rim[np.asarray(_triangles(split, 0, size - 1), dtype=np.int64)]


def _triangles(split: Int64[Array, "R R"], first: int, last: int) -> list[tuple[int, int, int]]:
    """Read the best triangulation of the corners `first` to `last` back from the table."""
    if last - first < 2:
        return []
    middle = int(split[first, last])
    return [
        (first, middle, last),
        *_triangles(split, first, middle),
        *_triangles(split, middle, last),
    ]


def vertex_normals(
    vertices: Float32[Array, "V 3"], faces: Integer[Array, "F 3"]
) -> Float32[Array, "V 3"]:
    """Area-weighted unit normals."""
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
