"""ARKit observations: trackers' rotations -> model axes, 52 weights -> an observation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import cv2
import numpy as np

from imavatar_deploy.arrays import Array, Float64
from imavatar_deploy.checks import ensure_finite
from imavatar_deploy.conventions import POSE_SIZE
from imavatar_deploy.errors import InputError
from imavatar_deploy.kinematics import axis_angles
from imavatar_deploy.retarget.arkit import ARKIT, ARKIT_NAMES

from .observation import Observation

# Rotations: angles, quaternions, matrices and directions -> axis-angle in model axes
#
# Model axes: +X to the person's own left, +Y up, +Z out of the face. By the right-hand rule a
# rotation about +X lowers the chin, one about +Y turns the nose to the person's left, one about +Z
# tilts the crown to the person's right shoulder.

Vector = Float64[Array, "3"]
"""Axis-angle, radians."""

SHORTEST_LENGTH = 1e-6
"""Length below which a quaternion or a direction is degenerate."""

SHAPE_INDEX: Mapping[str, int] = {name: place for place, name in enumerate(ARKIT_NAMES)}
"""Index of each shape in an observation's weights."""


def no_rotation() -> Vector:
    """The axis-angle of no rotation."""
    return np.zeros(3)


def of_matrix(matrix: Float64[Array, "3 3"]) -> Vector:
    """Axis-angle of a rotation matrix `[3, 3]`, or of the rotation nearest to it.

    Raises:
        InputError: the matrix is not finite.
    """
    ensure_finite("a rotation matrix", matrix)
    return np.asarray(
        cv2.Rodrigues(np.ascontiguousarray(matrix, dtype=np.float64))[0], dtype=np.float64
    )[:, 0]


def matrix_of(vector: Vector) -> Float64[Array, "3 3"]:
    """Rotation matrix `[3, 3]` of an axis-angle `[3]`."""
    return np.asarray(cv2.Rodrigues(vector)[0], dtype=np.float64)


def of_angles(left: float, down: float, right_shoulder: float) -> Vector:
    """Axis-angle of R = Ry(left) Rx(down) Rz(right_shoulder), radians.

    Roll comes first, as in Unity, Unreal and programs that use ARKit.

    Raises:
        InputError: an angle is not finite.
    """
    angles = np.array([left, down, right_shoulder])
    ensure_finite("the angles of a rotation", angles)
    yaw, pitch, roll = (math.remainder(angle, math.tau) for angle in angles)
    return of_matrix(
        matrix_of(np.array([0, yaw, 0.0]))
        @ matrix_of(np.array([pitch, 0, 0.0]))
        @ matrix_of(np.array([0, 0, roll]))
    )


def of_quaternion(x: float, y: float, z: float, w: float) -> Vector:
    """Axis-angle of a quaternion of any length but zero, the real part last.

    Raises:
        InputError: the quaternion is not finite, or is zero.
    """
    quaternion = np.array([x, y, z, w])
    ensure_finite("a quaternion", quaternion)
    length = math.hypot(*quaternion)
    if not SHORTEST_LENGTH < length < math.inf:
        raise InputError(
            f"a rotation must be a quaternion of length 1, got one of length {length:g}"
        )
    return axis_angles(np.roll(quaternion, 1)[None] / length)


def chain(*vectors: Vector) -> Vector:
    """Axis-angle of the last bone relative to the root, given those from the root outwards."""
    matrix = np.eye(3)
    for vector in vectors:
        matrix = matrix @ matrix_of(vector)
    return of_matrix(matrix)


def towards(direction: Sequence[float]) -> Vector:
    """Rotation without roll of an eye that looks along +Z at rest and along `direction` now.

    A direction without length gives no rotation.

    Raises:
        InputError: the direction is not finite.
    """
    x, y, z = direction
    ensure_finite("a direction of gaze", np.array([x, y, z]))
    if math.hypot(x, y, z) < SHORTEST_LENGTH:
        return no_rotation()
    return of_angles(math.atan2(x, z), math.atan2(-y, math.hypot(x, z)), 0.0)


def arkit_observation(
    weights: Iterable[float],
    head: Vector | None = None,
    left_eye: Vector | None = None,
    right_eye: Vector | None = None,
    time: float | None = None,
) -> Observation:
    """Return an observation of ARKit weights and axis-angles in model axes.

    An eye that is left out stays straight. Retargeting takes eyes that are all zero as "not sent",
    and then uses the eyeLook shapes for the gaze.

    Args:
        weights: 52, in the order of ARKIT_NAMES; clipped to 0..1.
        head, left_eye, right_eye: axis-angles `[3]`, radians.
        time: seconds on the sender's clock.

    Raises:
        InputError: a value is not finite, or there are not 52 weights.
    """
    values: Float64[Array, "52"] = np.fromiter(weights, dtype=np.float64)
    ensure_finite("observed weights", values)
    pose = np.zeros(POSE_SIZE)
    for first, rotation in ((0, head), (9, left_eye), (12, right_eye)):
        pose[first : first + 3] = no_rotation() if rotation is None else rotation
    return Observation(
        ARKIT, np.clip(values, 0, 1).astype(np.float32), pose.astype(np.float32), time
    )
