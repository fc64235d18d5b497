"""Animator: expression and pose -> posed vertices, one fused pass over cache-sized blocks of the mesh."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.kinematics import pose_feature, skinning_transforms

from .workers import Workers, kernel

Float = NDArray[np.float32]
Index = NDArray[np.intp]

BLOCK = 256
"""Vertices a block: three accumulators of 1 KB stay in the first-level cache. 128 to 1024 measure alike."""


class Posed(NamedTuple):
    """A frame's geometry."""

    vertices: Float  # [V, 3] model units
    bones: Float  # [J, 4, 4] from rest to posed


def pose_plainly(avatar: Avatar, expression: Float, pose: Float) -> Posed:
    """The plain way to pose: the truth that `Animator` is held to (IMavatar, equations 2-4)."""
    offset = np.tensordot(expression, avatar.expression_basis, 1) + np.tensordot(
        pose_feature(pose), avatar.pose_basis, 1
    )
    bones = skinning_transforms(pose, avatar.joints(expression), avatar.bone_count)
    blended = np.einsum("jv,jrc->vrc", avatar.skin_weights, bones[:, :3])
    vertices = np.einsum("vrc,cv->vr", blended[:, :, :3], avatar.rest + offset) + blended[:, :, 3]
    return Posed(np.asarray(vertices, dtype=np.float32), bones)


class Animator:
    """Deforms one avatar. Both bases lie in memory in the order in which a frame reads them: `[block, K, 3, BLOCK]`.

    A coefficient that is zero costs nothing: its part of the basis is not read.
    """

    def __init__(self, avatar: Avatar, workers: Workers) -> None:
        self._avatar = avatar
        self._workers = workers
        self._blocks = _blocked(np.concatenate([avatar.expression_basis, avatar.pose_basis]))
        self._rest = np.array(avatar.rest)
        self._weights = np.array(avatar.skin_weights)
        self._vertices = np.zeros((avatar.vertex_count, 3), dtype=np.float32)

    def __call__(self, expression: Float, pose: Float) -> Posed:
        """Pose the avatar for an expression `[E]` and a pose `[15]`; the next call overwrites the vertices."""
        coefficients = np.concatenate([expression, pose_feature(pose)])
        active = np.flatnonzero(coefficients)
        bones = skinning_transforms(pose, self._avatar.joints(expression), self._avatar.bone_count)
        moved = (
            self._rest,
            self._blocks,
            active,
            coefficients,
            self._weights,
            bones,
            self._vertices,
        )
        self._workers.each(_deform, len(self._blocks), *moved)
        return Posed(self._vertices, bones)


def _blocked(basis: Float) -> Float:
    """[K, 3, V] -> [blocks, K, 3, BLOCK], the last block filled up with zeros."""
    size, _, vertices = basis.shape
    blocks = -(-vertices // BLOCK)
    padded = np.zeros((size, 3, blocks * BLOCK), dtype=np.float32)
    padded[:, :, :vertices] = basis
    return np.ascontiguousarray(padded.reshape(size, 3, blocks, BLOCK).transpose(2, 0, 1, 3))


@kernel
def _deform(
    start: int,
    stop: int,
    rest: Float,
    blocks: Float,
    active: Index,
    coefficients: Float,
    weights: Float,
    bones: Float,
    vertices: Float,
) -> None:
    """Blendshapes, correctives and skinning of the blocks start..stop."""
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
    vertex: int, x: float, y: float, z: float, weights: Float, bones: Float, vertices: Float
) -> None:
    """Linear blend skinning of one vertex: the bones' motions of it, weighted."""
    for axis in range(3):
        moved = np.float32(0.0)
        for j in range(weights.shape[0]):
            g = bones[j, axis]
            moved += weights[j, vertex] * (g[0] * x + g[1] * y + g[2] * z + g[3])
        vertices[vertex, axis] = moved
