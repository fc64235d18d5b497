"""Head kinematics and rotations on numpy arrays.

Pose -> rotations -> bone transforms and pose feature, as in FLAME, section 3 (linear blend
skinning). It is the reference for the faster and the differentiable versions. Quaternions and
conversions of the rotations that trackers write are here, too.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .arrays import Array, Float, Float32, Float64
from .conventions import JAW, PARENTS
from .errors import InputError

MIN_LENGTH = 1e-6
"""Smallest length of a row that has a direction."""

_CONJUGATE = np.array([1.0, -1.0, -1.0, -1.0])

_HAMILTON = np.array(
    [  # 1, i, j, k of each product of two units: 1 1, 1 i, 1 j, 1 k, i 1, ...
        *([1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]),
        *([0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1], [0, 0, -1, 0]),
        *([0, 0, 1, 0], [0, 0, 0, -1], [-1, 0, 0, 0], [0, 1, 0, 0]),
        *([0, 0, 0, 1], [0, 0, 1, 0], [0, -1, 0, 0], [-1, 0, 0, 0]),
    ],
    dtype=np.float64,
)


def rotations(pose: Float[Array, "*N _"]) -> Float32[Array, "*N B 3 3"]:
    """Convert axis-angles `[..., 3 * B]` in radians to rotation matrices `[..., B, 3, 3]`.

    Rodrigues' formula.
    """
    vectors = np.asarray(pose, dtype=np.float64).reshape(*pose.shape[:-1], -1, 3)
    # FLAME's guard against 0/0, inside the norm only
    angle = np.linalg.norm(vectors + 1e-8, axis=-1)[..., None]
    x, y, z = np.moveaxis(vectors / angle, -1, 0)
    zero = np.zeros_like(x)
    skew = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*x.shape, 3, 3)
    sin = np.sin(angle)[..., None]
    cos = np.cos(angle)[..., None]
    return np.asarray(np.eye(3) + sin * skew + (1.0 - cos) * (skew @ skew), dtype=np.float32)


def quaternions(pose: Float[Array, "*N _"]) -> Float64[Array, "*N B 4"]:
    """Convert axis-angles `[..., 3 * B]` in radians to unit quaternions `[..., B, 4]`, w first."""
    vectors = np.asarray(pose, dtype=np.float64).reshape(*pose.shape[:-1], -1, 3)
    angle = np.sqrt(np.einsum("...i,...i->...", vectors, vectors))[..., None]
    half = np.where(angle > 1e-9, np.sin(angle / 2) / np.maximum(angle, 1e-9), 0.5)
    return np.concatenate([np.cos(angle / 2), half * vectors], axis=-1)


def axis_angles(quaternions: Float64[Array, "*N B 4"]) -> Float64[Array, "*N 3*B"]:
    """Convert unit quaternions `[..., B, 4]`, w first, to axis-angles `[..., 3 * B]` in radians.

    The angles are at most pi.
    """
    q = np.where(quaternions[..., :1] < 0, -quaternions, quaternions)
    sine = np.sqrt(np.einsum("...i,...i->...", q[..., 1:], q[..., 1:]))[..., None]
    angle = 2 * np.arctan2(sine, q[..., :1])
    scale = np.where(sine > 1e-12, angle / np.maximum(sine, 1e-12), 2.0)
    return np.asarray(scale * q[..., 1:]).reshape(*q.shape[:-2], -1)


def product(
    first: Float64[Array, "... 4"], second: Float64[Array, "... 4"]
) -> Float64[Array, "... 4"]:
    """Return the Hamilton product of quaternions `[..., 4]`: rotation by `second`, then `first`."""
    pairs = first[..., :, None] * second[..., None, :]
    return np.asarray(pairs.reshape(*pairs.shape[:-2], 16) @ _HAMILTON)


def inverse(quaternions: Float64[Array, "*N 4"]) -> Float64[Array, "*N 4"]:
    """Return the inverse rotations of unit quaternions `[..., 4]`."""
    return np.asarray(quaternions * _CONJUGATE)


def pose_feature(pose: Float[Array, "*N 15"]) -> Float32[Array, "*N 36"]:
    """Return the pose feature `[..., 36]` of a pose `[..., 15]`.

    It is R - I of neck, jaw and eyes, row-major; the global rotation has no correctives.
    """
    corrective = rotations(pose)[..., 1:, :, :] - np.eye(3, dtype=np.float32)
    return corrective.reshape(*pose.shape[:-1], -1)


def bone_transforms(
    pose: Float[Array, "15"], joints: Float[Array, "B 3"]
) -> Float32[Array, "B 4 4"]:
    """Return the rigid motion G of each bone from rest to posed, `[B, 4, 4]`.

    x_posed = G_b x_rest for a point fixed to bone b.

    Args:
        pose: `[15]` axis-angle in radians.
        joints: `[B, 3]` joint positions at rest, expression included (see `Avatar.joints`).
    """
    world = np.zeros((len(joints), 4, 4), dtype=np.float64)
    for bone, (rotation, parent) in enumerate(zip(rotations(pose), PARENTS, strict=True)):
        local = np.eye(4)
        local[:3, :3] = rotation
        local[:3, 3] = joints[bone] if parent < 0 else joints[bone] - joints[parent]
        world[bone] = local if parent < 0 else world[parent] @ local
    world[:, :3, 3] -= np.einsum("bij,bj->bi", world[:, :3, :3], joints)
    return world.astype(np.float32)


def skinning_transforms(
    pose: Float[Array, "15"], joints: Float[Array, "B 3"], bones: int
) -> Float32[Array, "J 4 4"]:
    """Return `bone_transforms`, preceded by the identity where `bones` counts a ghost bone."""
    transforms = bone_transforms(pose, joints)
    if bones == len(joints):
        return transforms
    return np.concatenate([np.eye(4, dtype=np.float32)[None], transforms])


def condition_of(expression: Float[Array, "50"], pose: Float[Array, "15"]) -> Float[Array, "1 53"]:
    """Return the texture network's condition: the expression and the jaw's rotation."""
    return np.concatenate([expression, pose[JAW]])[None]


def matrices_of_6d(name: str, values: Any) -> Float64[Array, "... 3 3"]:
    """Convert the six-number form `[..., 6]` to rotation matrices `[..., 3, 3]`.

    The numbers are the first two **rows** of the matrix, which may be not quite orthonormal (Zhou
    et al. 2019).

    Args:
        name: of the values, for the error message.

    Raises:
        InputError: a row is zero, or both rows are parallel.
    """
    rows = np.asarray(values, dtype=np.float64).reshape(*np.shape(values)[:-1], 2, 3)
    first = _unit(name, rows[..., 0, :])
    second = _unit(
        name, rows[..., 1, :] - (first * rows[..., 1, :]).sum(axis=-1, keepdims=True) * first
    )
    return np.stack([first, second, np.cross(first, second)], axis=-2)


def _unit(name: str, rows: Float64[Array, "*N 3"]) -> Float64[Array, "*N 3"]:
    length = np.linalg.norm(rows, axis=-1, keepdims=True)
    if (length < MIN_LENGTH).any():
        raise InputError(f"{name} is no rotation: a row of it is zero, or both are parallel")
    return np.asarray(rows / length)


def axis_angles_of_matrices(matrices: Any) -> Float32[Array, "... 3"]:
    """Convert rotation matrices `[..., 3, 3]` to axis-angles `[..., 3]` of at most pi."""
    m = np.asarray(matrices, dtype=np.float64)
    # Four times each product of two components of the quaternion. The row with the largest diagonal
    # element is free of cancellation.
    xx = m[..., 0, 0]
    yy = m[..., 1, 1]
    zz = m[..., 2, 2]
    wx = m[..., 2, 1] - m[..., 1, 2]
    wy = m[..., 0, 2] - m[..., 2, 0]
    wz = m[..., 1, 0] - m[..., 0, 1]
    xy = m[..., 0, 1] + m[..., 1, 0]
    xz = m[..., 0, 2] + m[..., 2, 0]
    yz = m[..., 1, 2] + m[..., 2, 1]
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
