"""Head kinematics on plain arrays: pose -> rotations -> bone transforms and pose feature.

The reference for every faster or differentiable version; FLAME, section 3 (standard linear blend skinning chain).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.conventions import PARENTS

Float = NDArray[np.float32]

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


def rotations(pose: Float) -> Float:
    """Axis-angle `[..., 3 * B]` in radians -> rotation matrices `[..., B, 3, 3]` (Rodrigues' formula)."""
    vectors = np.asarray(pose, dtype=np.float64).reshape(*pose.shape[:-1], -1, 3)
    angle = np.linalg.norm(vectors + 1e-8, axis=-1)[..., None]  # FLAME's guard against 0/0, inside the norm only
    x, y, z = np.moveaxis(vectors / angle, -1, 0)
    zero = np.zeros_like(x)
    skew = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*x.shape, 3, 3)
    sin, cos = np.sin(angle)[..., None], np.cos(angle)[..., None]
    return np.asarray(np.eye(3) + sin * skew + (1.0 - cos) * (skew @ skew), dtype=np.float32)


def quaternions(pose: NDArray[np.floating]) -> NDArray[np.float64]:
    """Axis-angle `[..., 3 * B]` in radians -> unit quaternions `[..., B, 4]`, the real part first."""
    vectors = np.asarray(pose, dtype=np.float64).reshape(*pose.shape[:-1], -1, 3)
    angle = np.sqrt(np.einsum("...i,...i->...", vectors, vectors))[..., None]
    half = np.where(angle > 1e-9, np.sin(angle / 2) / np.maximum(angle, 1e-9), 0.5)
    return np.concatenate([np.cos(angle / 2), half * vectors], axis=-1)


def axis_angles(quaternions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quaternions `[..., B, 4]`, the real part first -> axis-angles `[..., 3 * B]` in radians, at most half a turn."""
    q = np.where(quaternions[..., :1] < 0, -quaternions, quaternions)
    sine = np.sqrt(np.einsum("...i,...i->...", q[..., 1:], q[..., 1:]))[..., None]
    angle = 2 * np.arctan2(sine, q[..., :1])
    scale = np.where(sine > 1e-12, angle / np.maximum(sine, 1e-12), 2.0)
    return np.asarray(scale * q[..., 1:]).reshape(*q.shape[:-2], -1)


def product(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Hamilton's product of quaternions `[..., 4]`: the rotation `second`, then `first`."""
    pairs = first[..., :, None] * second[..., None, :]
    return np.asarray(pairs.reshape(*pairs.shape[:-2], 16) @ _HAMILTON)


def inverse(quaternions: NDArray[np.float64]) -> NDArray[np.float64]:
    """The way back of unit quaternions `[..., 4]`."""
    return np.asarray(quaternions * _CONJUGATE)


def pose_feature(pose: Float) -> Float:
    """Pose `[..., 15]` -> `[..., 36]`: R - I of neck, jaw and eyes, row-major. The global rotation does not correct."""
    corrective = rotations(pose)[..., 1:, :, :] - np.eye(3, dtype=np.float32)
    return corrective.reshape(*pose.shape[:-1], -1)


def bone_transforms(pose: Float, joints: Float) -> Float:
    """Rigid motion of each bone from rest to posed, `[B, 4, 4]`: x_posed = G_b x_rest for a point fixed to bone b.

    Args:
        pose: `[3 * B]` axis-angle in radians.
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


def skinning_transforms(pose: Float, joints: Float, bones: int) -> Float:
    """`bone_transforms`, with the identity of the ghost bone in front when `bones` is one more: `[J, 4, 4]`."""
    transforms = bone_transforms(pose, joints)
    if bones == len(joints):
        return transforms
    return np.concatenate([np.eye(4, dtype=np.float32)[None], transforms])
