"""Vertices and normals of a posed avatar: blendshapes, skinning and surface normals.

`Animator` poses in one pass over cache-sized blocks of the mesh; `SurfaceNormals` gathers per
vertex, so that threads write to different addresses.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.arrays import Array, Float, Float32, Int32
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.camera import Camera, front_camera
from imavatar_deploy.conventions import POSE_SIZE
from imavatar_deploy.kinematics import pose_feature, skinning_transforms

from .workers import Workers, kernel

# Arrays in compiled loops
Floats = NDArray[np.float32]
Index = NDArray[np.intp]
Faces = NDArray[np.int32]

BLOCK = 256
"""Vertices in a block: three accumulators of 1 KB stay in the first-level cache. 128 to 1024 are
equally fast."""


class Posed(NamedTuple):
    """Geometry of a frame."""

    vertices: NDArray[np.float32]
    """`[V, 3]`, model units."""
    bones: Float32[Array, "J 4 4"]
    """Rigid motion of each bone from rest to posed."""


def pose_plainly(avatar: Avatar, expression: Float[Array, " E"], pose: Float[Array, "15"]) -> Posed:
    """Pose an avatar: the reference implementation of `Animator` (IMavatar, equations 2-4)."""
    offset = np.tensordot(expression, avatar.expression_basis, 1) + np.tensordot(
        pose_feature(pose), avatar.pose_basis, 1
    )
    bones = skinning_transforms(pose, avatar.joints(expression), avatar.bone_count)
    blended = np.einsum("jv,jrc->vrc", avatar.skin_weights, bones[:, :3])
    vertices = np.einsum("vrc,cv->vr", blended[:, :, :3], avatar.rest + offset) + blended[:, :, 3]
    return Posed(np.asarray(vertices, dtype=np.float32), bones)


def resting_camera(avatar: Avatar) -> Camera:
    """The default view of an avatar: `front_camera` of its neutral face at rest."""
    expression = np.zeros(avatar.expression_size, dtype=np.float32)
    pose = np.zeros(POSE_SIZE, dtype=np.float32)
    return front_camera(avatar, pose_plainly(avatar, expression, pose).vertices)


class Animator:
    """Poses one avatar.

    Both bases are stored in the order in which a frame reads them, `[block, K, 3, BLOCK]`. The part
    of a coefficient that is zero is not read.
    """

    def __init__(self, avatar: Avatar, workers: Workers) -> None:
        self._avatar = avatar
        self._workers = workers
        self._blocks = _split_into_blocks(
            np.concatenate([avatar.expression_basis, avatar.pose_basis])
        )
        self._rest = np.array(avatar.rest)
        self._weights = np.array(avatar.skin_weights)
        self._vertices = np.zeros((avatar.vertex_count, 3), dtype=np.float32)

    def __call__(self, expression: Float32[Array, " E"], pose: Float32[Array, "15"]) -> Posed:
        """Pose the avatar; the next call overwrites the vertices."""
        coefficients = np.concatenate([expression, pose_feature(pose)])
        active = np.flatnonzero(coefficients)
        bones = skinning_transforms(pose, self._avatar.joints(expression), self._avatar.bone_count)
        arguments = (
            self._rest,
            self._blocks,
            active,
            coefficients,
            self._weights,
            bones,
            self._vertices,
        )
        self._workers.each(_deform, len(self._blocks), *arguments)
        return Posed(self._vertices, bones)


def _split_into_blocks(basis: Float32[Array, "K 3 V"]) -> Float32[Array, "_ K 3 _"]:
    """Rearrange a basis to `[blocks, K, 3, BLOCK]`; the last block is padded with zeros."""
    size, _, vertices = basis.shape
    blocks = -(-vertices // BLOCK)
    padded = np.zeros((size, 3, blocks * BLOCK), dtype=np.float32)
    padded[:, :, :vertices] = basis
    return np.ascontiguousarray(padded.reshape(size, 3, blocks, BLOCK).transpose(2, 0, 1, 3))


@kernel
def _deform(
    start: int,
    stop: int,
    rest: Floats,
    blocks: Floats,
    active: Index,
    coefficients: Floats,
    weights: Floats,
    bones: Floats,
    vertices: Floats,
) -> None:
    """Apply blendshapes, correctives and skinning to the blocks start..stop."""
    shaped = np.zeros((3, BLOCK), dtype=np.float32)
    for block in range(start, stop):
        first = block * BLOCK
        count = min(BLOCK, vertices.shape[0] - first)
        for axis in range(3):
            shaped[axis, :count] = rest[axis, first : first + count]
        for k in active:
            coefficient = coefficients[k]
            for axis in range(3):
                for lane in range(BLOCK):
                    shaped[axis, lane] += coefficient * blocks[block, k, axis, lane]
        for lane in range(count):
            _skin(
                first + lane,
                shaped[0, lane],
                shaped[1, lane],
                shaped[2, lane],
                weights,
                bones,
                vertices,
            )


@kernel
def _skin(
    vertex: int, x: float, y: float, z: float, weights: Floats, bones: Floats, vertices: Floats
) -> None:
    """Apply linear blend skinning to one vertex."""
    for axis in range(3):
        moved = np.float32(0.0)
        for j in range(weights.shape[0]):
            g = bones[j, axis]
            moved += weights[j, vertex] * (g[0] * x + g[1] * y + g[2] * z + g[3])
        vertices[vertex, axis] = moved


# Normals of the posed surface


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
def _cross(start: int, stop: int, vertices: Floats, faces: Faces, crosses: Floats) -> None:
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
    incident: Faces,
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
