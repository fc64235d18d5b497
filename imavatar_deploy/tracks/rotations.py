"""Rotations as trackers write them -> axis-angles: six numbers (the first two rows of a matrix), or the matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.errors import InputError

Float = NDArray[np.float32]
Double = NDArray[np.float64]

SMALLEST = 1e-6
"""Of the length of a row: shorter ones point nowhere."""


def matrices_of_6d(name: str, values: Any) -> Double:
    """[..., 6] the first two **rows**, not quite orthonormal -> rotations `[..., 3, 3]` (Zhou et al. 2019).

    Raises:
        InputError: a row that is zero, or two that are parallel.
    """
    rows = np.asarray(values, dtype=np.float64).reshape(*np.shape(values)[:-1], 2, 3)
    first = _unit(name, rows[..., 0, :])
    second = _unit(name, rows[..., 1, :] - (first * rows[..., 1, :]).sum(axis=-1, keepdims=True) * first)
    return np.stack([first, second, np.cross(first, second)], axis=-2)


def _unit(name: str, rows: Double) -> Double:
    length = np.linalg.norm(rows, axis=-1, keepdims=True)
    if (length < SMALLEST).any():
        raise InputError(f"{name} is no rotation: a row of it is zero, or both are parallel")
    return np.asarray(rows / length)


def axis_angles(matrices: Any) -> Float:
    """[..., 3, 3] rotations -> axis-angles `[..., 3]` of at most half a turn."""
    m = np.asarray(matrices, dtype=np.float64)
    # Four times each product of two components of the quaternion; its largest row is the one without cancellation.
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    wx, wy, wz = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    xy, xz, yz = m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1]
    products = np.stack(
        [
            np.stack([1 + xx + yy + zz, wx, wy, wz], axis=-1),
            np.stack([wx, 1 + xx - yy - zz, xy, xz], axis=-1),
            np.stack([wy, xy, 1 - xx + yy - zz, yz], axis=-1),
            np.stack([wz, xz, yz, 1 - xx - yy + zz], axis=-1),
        ],
        axis=-2,
    )
    largest = np.diagonal(products, axis1=-2, axis2=-1).argmax(axis=-1)
    quaternion = np.take_along_axis(products, largest[..., None, None], axis=-2)[..., 0, :]
    quaternion = np.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    quaternion /= np.linalg.norm(quaternion, axis=-1, keepdims=True)
    sine = np.linalg.norm(quaternion[..., 1:], axis=-1, keepdims=True)
    angle = 2 * np.arctan2(sine, quaternion[..., :1])
    scale = np.where(sine > 1e-12, angle / np.maximum(sine, 1e-12), 2.0)
    return np.asarray(scale * quaternion[..., 1:], dtype=np.float32)
