"""Mesh: vertices and outward faces, and the questions that extraction asks of one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.checks import ensure_finite, ensure_shape

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh in model units.

    Raises:
        InputError: wrong shapes, or a vertex that is not finite.
    """

    vertices: Float  # [V, 3]
    faces: NDArray[np.int32]  # [F, 3] counter-clockwise seen from outside

    def __post_init__(self) -> None:
        object.__setattr__(self, "vertices", np.ascontiguousarray(self.vertices, dtype=np.float32))
        object.__setattr__(self, "faces", np.ascontiguousarray(self.faces, dtype=np.int32))
        ensure_shape("mesh vertices", self.vertices, ("V", 3))
        ensure_shape("mesh faces", self.faces, ("F", 3))
        ensure_finite("mesh vertices", self.vertices)

    def face_normals(self) -> NDArray[np.float64]:
        """[F, 3] outward, as long as twice the area."""
        a, b, c = np.moveaxis(self.vertices.astype(np.float64)[self.faces], 1, 0)
        return np.asarray(np.cross(b - a, c - a))

    def face_areas(self) -> NDArray[np.float64]:
        """[F] square model units."""
        return np.asarray(np.linalg.norm(self.face_normals(), axis=1) / 2.0)

    def vertex_normals(self) -> NDArray[np.float64]:
        """[V, 3] unit, weighted by the area of the faces around each vertex."""
        total = np.zeros((len(self.vertices), 3))
        for corner in self.faces.T:
            np.add.at(total, corner, self.face_normals())
        return np.asarray(total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-30))

    def edge_length(self) -> float:
        """Mean length of an edge, model units."""
        corners = self.vertices[self.faces]
        return float(np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).mean())

    def with_faces(self, which: NDArray[np.bool_]) -> Mesh:
        """Only the faces `which`, and only the vertices they use."""
        used, faces = np.unique(self.faces[which], return_inverse=True)
        return Mesh(self.vertices[used], faces.reshape(-1, 3).astype(np.int32))

    def open_edges(self) -> int:
        """Directed edges without exactly one opposite; zero for a closed, consistently wound mesh."""
        ends = np.concatenate([self.faces[:, [0, 1]], self.faces[:, [1, 2]], self.faces[:, [2, 0]]]).astype(np.int64)
        forward, backward = ends @ [len(self.vertices), 1], ends @ [1, len(self.vertices)]
        keys, counts = np.unique(forward, return_counts=True)
        return int((counts > 1).sum() + (~np.isin(keys, backward)).sum())
