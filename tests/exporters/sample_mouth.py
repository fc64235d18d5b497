"""The front of the sample's surface around its mouth, and poses of its jaw."""

from __future__ import annotations

import numpy as np

from imavatar_deploy.arrays import Array, Float32, Int32
from imavatar_deploy.conventions import BONES, EXPRESSION_SIZE, POSE_SIZE
from imavatar_deploy.model.surface.field import Field
from imavatar_deploy.model.surface.mesh import Mesh

NEUTRAL = np.zeros(EXPRESSION_SIZE, dtype=np.float32)
CLOSED = np.zeros(POSE_SIZE, dtype=np.float32)


def opened_jaw(angle: float) -> Float32[Array, "15"]:
    pose = CLOSED.copy()
    pose[3 * BONES.index("jaw")] = angle
    return pose


def grid(columns: int, rows: int) -> tuple[Float32[Array, "N 2"], Int32[Array, "F 3"]]:
    """A grid in 0..1 x 0..1 that faces the front."""
    x, y = np.meshgrid(np.linspace(0, 1, columns), np.linspace(0, 1, rows))
    number = np.arange(columns * rows).reshape(rows, columns)
    a, b, c, d = (
        corner.ravel()
        for corner in (number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1])
    )
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    return np.stack([x.ravel(), y.ravel()], 1).astype(np.float32), faces.astype(np.int32)


MOUTH_BOX = (-0.13, -0.35), (0.12, -0.12)
"""Corners of a box of the front view that holds the mouth."""


def front_patch(field: Field, low: tuple[float, float], high: tuple[float, float]) -> Mesh:
    """The front of the sample within a box of the front view."""
    places, faces = grid(40, 36)
    flat = np.float32(low) + places * (np.float32(high) - np.float32(low))
    depths = np.linspace(0.48, 0.2, 36, dtype=np.float32)
    points = np.concatenate(
        [np.repeat(flat, len(depths), axis=0), np.tile(depths, len(flat))[:, None]], axis=1
    )
    values = field.values(points, lambda count: None).reshape(len(flat), -1)
    first = (values < 0).argmax(axis=1)
    hit = first > 0
    assert hit.mean() > 0.8
    rows = np.arange(len(flat))
    outside, inside = values[rows, first - 1], values[rows, first]
    step = depths[1] - depths[0]
    z = depths[first - 1] + step * outside / (outside - inside)
    z = np.where(hit, z, 0.0)
    whole = Mesh(np.concatenate([flat, z[:, None]], axis=1), faces)
    return whole.with_faces(hit[faces].all(axis=1))
