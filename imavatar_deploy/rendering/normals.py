"""Vertex normals of the posed mesh, and normals of the implicit surface that it approximates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.arrays import Array, Float, Float32, Int32
from imavatar_deploy.avatar import Avatar

from .posing import Posed
from .workers import Workers, kernel

# Arrays in compiled loops
Floats = NDArray[np.float32]
Index = NDArray[np.int32]


def vertex_normals(
    vertices: Float[Array, "V 3"], faces: Int32[Array, "F 3"]
) -> Float32[Array, "V 3"]:
    """Return the unit normals of a mesh: the reference implementation of `VertexNormals`."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, faces[:, corner], np.cross(b - a, c - a))
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.asarray(normals / np.where(lengths > 0, lengths, 1), dtype=np.float32)


class VertexNormals:
    """Unit normals of a mesh with constant faces and moving vertices.

    The normal of a vertex is the mean of the normals of its faces, weighted by their areas; zero if
    these have no area. It is gathered per vertex, so that threads write to different addresses.
    """

    def __init__(self, faces: Int32[Array, "F 3"], vertex_count: int, workers: Workers) -> None:
        self._workers = workers
        self._faces = np.array(faces)
        corners = self._faces.ravel()
        self._incident = (np.argsort(corners, kind="stable") // 3).astype(np.int32)
        self._first = np.concatenate([[0], np.cumsum(np.bincount(corners, minlength=vertex_count))])
        self._crosses = np.zeros((len(faces), 3), dtype=np.float32)
        self._normals = np.zeros((vertex_count, 3), dtype=np.float32)

    def __call__(self, vertices: Float32[Array, "V 3"]) -> Float32[Array, "V 3"]:
        """Return the unit normals of vertices; the next call overwrites them."""
        self._workers.each(_cross, len(self._faces), vertices, self._faces, self._crosses)
        self._workers.each(
            _gather, len(self._normals), self._crosses, self._incident, self._first, self._normals
        )
        return self._normals


def surface_normals(avatar: Avatar, posed: Posed) -> Float32[Array, "V 3"]:
    """Return the unit normals of the surface: the reference implementation of `SurfaceNormals`."""
    detail = np.einsum(
        "jv,jrc,cv->vr", avatar.skin_weights, posed.bones[:, :3, :3], avatar.normal_detail
    )
    normals = vertex_normals(posed.vertices, avatar.faces) + detail
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.asarray(normals / np.where(lengths > 0, lengths, 1), dtype=np.float32)


class SurfaceNormals:
    """Unit normals of the implicit surface: those of the mesh plus `Avatar.normal_detail`.

    The detail is the difference between both at rest; the bones rotate it with the skin.
    """

    def __init__(self, avatar: Avatar, workers: Workers) -> None:
        self._workers = workers
        self._mesh_normals = VertexNormals(avatar.faces, avatar.vertex_count, workers)
        self._detail = np.array(avatar.normal_detail)
        self._weights = np.array(avatar.skin_weights)

    def __call__(self, posed: Posed) -> Float32[Array, "V 3"]:
        """Return the unit normals of the posed vertices; the next call overwrites them."""
        normals = self._mesh_normals(posed.vertices)
        self._workers.each(
            _add_detail, len(normals), self._detail, self._weights, posed.bones, normals
        )
        return normals


@kernel
def _add_detail(
    start: int, stop: int, detail: Floats, weights: Floats, bones: Floats, normals: Floats
) -> None:
    """Rotate the detail of the vertices start..stop with their bones, add it, normalise."""
    for vertex in range(start, stop):
        dx, dy, dz = detail[0, vertex], detail[1, vertex], detail[2, vertex]
        n = normals[vertex]
        for j in range(weights.shape[0]):
            weight = weights[j, vertex]
            for axis in range(3):
                n[axis] += weight * (
                    bones[j, axis, 0] * dx + bones[j, axis, 1] * dy + bones[j, axis, 2] * dz
                )
        length = np.sqrt(n[0] * n[0] + n[1] * n[1] + n[2] * n[2])
        scale = np.float32(1.0) / length if length > 0 else np.float32(0.0)
        n[0] *= scale
        n[1] *= scale
        n[2] *= scale


@kernel
def _cross(start: int, stop: int, vertices: Floats, faces: Index, crosses: Floats) -> None:
    """Compute twice the area times the normal of the faces start..stop."""
    for face in range(start, stop):
        a, b, c = vertices[faces[face, 0]], vertices[faces[face, 1]], vertices[faces[face, 2]]
        ux, uy, uz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
        vx, vy, vz = c[0] - a[0], c[1] - a[1], c[2] - a[2]
        crosses[face, 0] = uy * vz - uz * vy
        crosses[face, 1] = uz * vx - ux * vz
        crosses[face, 2] = ux * vy - uy * vx


@kernel
def _gather(
    start: int,
    stop: int,
    crosses: Floats,
    incident: Index,
    first: NDArray[np.int64],
    normals: Floats,
) -> None:
    """Sum and normalise the cross products around the vertices start..stop."""
    for vertex in range(start, stop):
        x, y, z = np.float32(0.0), np.float32(0.0), np.float32(0.0)
        for entry in range(first[vertex], first[vertex + 1]):
            face = incident[entry]
            x += crosses[face, 0]
            y += crosses[face, 1]
            z += crosses[face, 2]
        length = np.sqrt(x * x + y * y + z * z)
        scale = np.float32(1.0) / length if length > 0 else np.float32(0.0)
        normals[vertex, 0] = x * scale
        normals[vertex, 1] = y * scale
        normals[vertex, 2] = z * scale
