"""A face in ARKit's words, put together from what a tracker sends."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.checks import ensure_finite
from imavatar_deploy.conventions import POSE_SIZE
from imavatar_deploy.errors import InputError
from imavatar_deploy.kinematics import axis_angles
from imavatar_deploy.retarget.arkit import ARKIT, ARKIT_NAMES

from .observation import Observation

# Turns: rotations as trackers send them (angles, quaternions, matrices, directions) -> axis-angle in model axes.
#
# Model axes: +X to the person's own left, +Y up, +Z out of the face. By the right-hand rule a turn about +X lowers the
# chin, one about +Y turns the nose to the person's left, one about +Z tilts the crown to the person's right shoulder.


Vector = NDArray[np.float64]

SHORTEST = 1e-6
"""A quaternion or a direction that is shorter has no direction to speak of."""


def still() -> Vector:
    """No turn."""
    return np.zeros(3)


def of_matrix(matrix: NDArray[np.float64]) -> Vector:
    """A rotation matrix `[3, 3]`, or the nearest one.

    Raises:
        InputError: it is not finite.
    """
    ensure_finite("a rotation matrix", matrix)
    return np.asarray(
        cv2.Rodrigues(np.ascontiguousarray(matrix, dtype=np.float64))[0], dtype=np.float64
    )[:, 0]


def matrix_of(vector: Vector) -> NDArray[np.float64]:
    """Axis-angle `[3]` -> rotation matrix `[3, 3]`."""
    return np.asarray(cv2.Rodrigues(vector)[0], dtype=np.float64)


def of_angles(left: float, down: float, right_shoulder: float) -> Vector:
    """R = Ry(left) Rx(down) Rz(right_shoulder), radians: roll first, as Unity, Unreal and ARKit's users do.

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
    """A quaternion of any length but zero, the real part last.

    Raises:
        InputError: it is not finite, or is zero.
    """
    quaternion = np.array([x, y, z, w])
    ensure_finite("a quaternion", quaternion)
    length = math.hypot(*quaternion)
    if not SHORTEST < length < math.inf:
        raise InputError(
            f"a rotation must be a quaternion of length 1, got one of length {length:g}"
        )
    return axis_angles(np.roll(quaternion, 1)[None] / length)


def in_turn(*vectors: Vector) -> Vector:
    """Axis-angles of bones from the root outwards -> that of the last bone, seen from the root."""
    matrix = np.eye(3)
    for vector in vectors:
        matrix = matrix @ matrix_of(vector)
    return of_matrix(matrix)


def towards(direction: Sequence[float]) -> Vector:
    """The turn, without roll, of an eye that looks along +Z at rest and along `direction` now; none where it has none.

    Raises:
        InputError: it is not finite.
    """
    x, y, z = direction
    ensure_finite("a direction of gaze", np.array([x, y, z]))
    if math.hypot(x, y, z) < SHORTEST:
        return still()
    return of_angles(math.atan2(x, z), math.atan2(-y, math.hypot(x, z)), 0.0)


PLACE: Mapping[str, int] = {name: place for place, name in enumerate(ARKIT_NAMES)}
"""Where in an observation's weights each shape is."""


def arkit_observation(
    weights: Iterable[float],
    head: Vector | None = None,
    left_eye: Vector | None = None,
    right_eye: Vector | None = None,
    time: float | None = None,
) -> Observation:
    """Weights in the order of ARKIT_NAMES, held between 0 and 1, and axis-angles in model axes -> an observation.

    An eye that is left out stays straight: who turns weights into an avatar's words takes eyes that are all zero for
    "not sent", and the eyeLook shapes for the gaze.

    Raises:
        InputError: something is not finite, or there are not 52 weights.
    """
    values: NDArray[np.float64] = np.fromiter(weights, dtype=np.float64)
    ensure_finite("observed weights", values)
    pose = np.zeros(POSE_SIZE)
    for first, turn in ((0, head), (9, left_eye), (12, right_eye)):
        pose[first : first + 3] = still() if turn is None else turn
    return Observation(
        ARKIT, np.clip(values, 0, 1).astype(np.float32), pose.astype(np.float32), time
    )
