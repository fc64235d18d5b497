"""VertexNormals: area-weighted normals, gathered per vertex so that threads never write to the same place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .jit import kernel
from .workers import Workers

Float = NDArray[np.float32]
Index = NDArray[np.int32]


def vertex_normals(vertices: Float, faces: Index) -> Float:
    """[V, 3] unit normals, the plain way: the truth that `VertexNormals` is held to."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, faces[:, corner], np.cross(b - a, c - a))
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.asarray(normals / np.where(lengths > 0, lengths, 1), dtype=np.float32)


class VertexNormals:
    """Unit normals of a mesh whose faces stay and whose vertices move.

    The sum of the cross products of a vertex' faces: each counts by its area. A vertex without area has normal zero.
    """

    def __init__(self, faces: Index, vertex_count: int, workers: Workers) -> None:
        self._workers = workers
        self._faces = np.array(faces)
        corners = self._faces.ravel()
        self._incident = (np.argsort(corners, kind="stable") // 3).astype(np.int32)
        self._first = np.concatenate([[0], np.cumsum(np.bincount(corners, minlength=vertex_count))])
        self._crosses = np.zeros((len(faces), 3), dtype=np.float32)
        self._normals = np.zeros((vertex_count, 3), dtype=np.float32)

    def __call__(self, vertices: Float) -> Float:
        """[V, 3] unit normals of vertices `[V, 3]`; the next call overwrites them."""
        self._workers.each(_cross, len(self._faces), vertices, self._faces, self._crosses)
        self._workers.each(_gather, len(self._normals), self._crosses, self._incident, self._first, self._normals)
        return self._normals


@kernel
def _cross(start: int, stop: int, vertices: Float, faces: Index, crosses: Float) -> None:
    """Twice the area times the normal of the faces start..stop."""
    for face in range(start, stop):
        a, b, c = vertices[faces[face, 0]], vertices[faces[face, 1]], vertices[faces[face, 2]]
        ux, uy, uz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
        vx, vy, vz = c[0] - a[0], c[1] - a[1], c[2] - a[2]
        crosses[face, 0] = uy * vz - uz * vy
        crosses[face, 1] = uz * vx - ux * vz
        crosses[face, 2] = ux * vy - uy * vx


@kernel
def _gather(start: int, stop: int, crosses: Float, incident: Index, first: NDArray[np.int64], normals: Float) -> None:
    """Sum and normalise for the vertices start..stop."""
    for vertex in range(start, stop):
        x, y, z = np.float32(0.0), np.float32(0.0), np.float32(0.0)
        for entry in range(first[vertex], first[vertex + 1]):
            face = incident[entry]
            x += crosses[face, 0]
            y += crosses[face, 1]
            z += crosses[face, 2]
        length = np.sqrt(x * x + y * y + z * z)
        scale = np.float32(1.0) / length if length > 0 else np.float32(0.0)
        normals[vertex, 0], normals[vertex, 1], normals[vertex, 2] = x * scale, y * scale, z * scale
