"""Rotations of the bones in double precision, and their derivatives by axis-angle vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Float64
from imavatar_deploy.conventions import BONES, PARENTS


def rotation_matrices(pose: Float64[Array, "T 15"]) -> Float64[Array, "T 5 3 3"]:
    """Return the rotation of every bone against its parent, by Rodrigues' formula."""
    vectors = pose.reshape(len(pose), len(BONES), 3)
    skew, sine, cosine, _ = _rodrigues(vectors)
    return np.asarray(np.eye(3) + sine * skew + cosine * (skew @ skew))


def left_jacobians(vectors: Float64[Array, "T 5 3"]) -> Float64[Array, "T 5 3 3"]:
    """Return J with R(v + dv) = exp([J dv]) R(v) to first order."""
    skew, _, cosine, third = _rodrigues(vectors)
    return np.asarray(np.eye(3) + cosine * skew + third * (skew @ skew))


def _rodrigues(vectors: Float64[Array, "T 5 3"]) -> tuple[Any, Any, Any, Any]:
    """Return [v], sin a / a, (1 - cos a) / a^2 and (a - sin a) / a^3 for a = |v|."""
    square = np.einsum("...i,...i->...", vectors, vectors)[..., None, None]
    small = square < 1e-8
    safe = np.where(small, 1.0, square)
    angle = np.sqrt(safe)
    sine = np.where(small, 1.0 - square / 6.0, np.sin(angle) / angle)
    cosine = np.where(small, 0.5 - square / 24.0, (1.0 - np.cos(angle)) / safe)
    third = np.where(small, 1.0 / 6.0 - square / 120.0, (angle - np.sin(angle)) / (safe * angle))
    return skew_matrices(vectors), sine, cosine, third


def skew_matrices(vectors: Float64[Array, "*N 3"]) -> Float64[Array, "*N 3 3"]:
    """Return [v] with [v] u = v x u."""
    matrices = np.zeros((*vectors.shape, 3))
    x, y, z = vectors[..., 0], vectors[..., 1], vectors[..., 2]
    matrices[..., 0, 1] = -z
    matrices[..., 0, 2] = y
    matrices[..., 1, 0] = z
    matrices[..., 1, 2] = -x
    matrices[..., 2, 0] = -y
    matrices[..., 2, 1] = x
    return matrices


def rotation_derivatives(
    rotation: Float64[Array, "T 3 3"], left: Float64[Array, "T 3 3"]
) -> Float64[Array, "T 9 3"]:
    """Return the derivative of the row-major rotation by its axis-angle."""
    derivative = np.stack(
        [skew_matrices(left[:, :, axis]) @ rotation for axis in range(3)], axis=-1
    )
    return derivative.reshape(len(rotation), 9, 3)


def world_rotations(local: Float64[Array, "T 5 3 3"]) -> Float64[Array, "T 5 3 3"]:
    """Return the rotation of every bone against the model's axes, from those against its parent."""
    world = np.empty_like(local)
    for bone, parent in enumerate(PARENTS):
        world[:, bone] = local[:, bone] if parent < 0 else world[:, parent] @ local[:, bone]
    return world


def posed_joints(
    world: Float64[Array, "T 5 3 3"], joints: Float64[Array, "T 5 3 *N"]
) -> Float64[Array, "T 5 3 *N"]:
    """Return the posed joints; linear in the joints at rest, so derivatives pass through it."""
    posed = np.empty_like(joints)
    for bone, parent in enumerate(PARENTS):
        if parent < 0:
            posed[:, bone] = joints[:, bone]
        else:
            step = joints[:, bone] - joints[:, parent]
            posed[:, bone] = posed[:, parent] + np.einsum(
                "tij,tj...->ti...", world[:, parent], step
            )
    return posed
