"""Animator: expression and pose to posed vertices, in one pass over cache-sized blocks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.arrays import Array, Float, Float32
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.kinematics import pose_feature, skinning_transforms

from .workers import Workers, kernel

# Arrays in compiled loops
Floats = NDArray[np.float32]
Index = NDArray[np.intp]

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


class Animator:
    """Poses one avatar.

    Both bases are stored in the order in which a frame reads them, `[block, K, 3, BLOCK]`. The part
    of a coefficient that is zero is not read.
    """

    def __init__(self, avatar: Avatar, workers: Workers) -> None:
        self._avatar = avatar
        self._workers = workers
        self._blocks = _blocked(np.concatenate([avatar.expression_basis, avatar.pose_basis]))
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


def _blocked(basis: Float32[Array, "K 3 V"]) -> Float32[Array, "_ K 3 _"]:
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
