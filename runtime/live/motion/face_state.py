"""Face: an expression and five rotations, with differences, sums, gains and limits.

The difference of two faces, and every speed, is a plain vector `[65]`: 50 expressions, then a
rotation vector (radians) for each bone. Smoothing, prediction and correction work on such vectors,
so no angle ever wraps. There are 55 *channels*: each expression, and each bone as a whole.

`HEADS` and `Adjustment` change a face as the user wishes: what the head's rotation does, gains and
limits of channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from imavatar_deploy.arrays import Array, Float, Float64
from imavatar_deploy.conventions import BONES, EXPRESSION_SIZE, POSE_SIZE
from imavatar_deploy.kinematics import axis_angles, inverse, product, quaternions

CHANNELS = EXPRESSION_SIZE + len(BONES)

CHANNEL_OF = np.concatenate(
    [np.arange(EXPRESSION_SIZE), EXPRESSION_SIZE + np.repeat(np.arange(len(BONES)), 3)]
)
"""[65] the channel that each entry of a difference belongs to."""

_GLOBAL_BONE = BONES.index("global")
_NECK_BONE = BONES.index("neck")

IDENTITY = np.array([1.0, 0.0, 0.0, 0.0])
"""The quaternion of no rotation."""


class Face(NamedTuple):
    """One face, or with leading axes several."""

    expression: Float64[Array, "... 50"]
    turns: Float64[Array, "... 5 4"]  # unit quaternions, the real part first

    def minus(self, other: Face) -> Float64[Array, "... 65"]:
        """Difference `[..., 65]` from `other` to this face; each bone by the shorter way."""
        rotations = axis_angles(product(self.turns, inverse(other.turns)))
        return np.concatenate([self.expression - other.expression, rotations], axis=-1)

    def plus(self, difference: Float64[Array, "... 65"]) -> Face:
        """This face moved by a difference `[..., 65]`."""
        turns = product(quaternions(difference[..., EXPRESSION_SIZE:]), self.turns)
        return Face(self.expression + difference[..., :EXPRESSION_SIZE], turns)

    def pose(self) -> Float64[Array, "... 15"]:
        """Axis-angle pose `[..., 15]` in radians."""
        return axis_angles(self.turns)


def face_of(expression: Float[Array, "... 50"], pose: Float[Array, "... 15"]) -> Face:
    """Face of an expression code `[..., 50]` and an axis-angle pose `[..., 15]`."""
    return Face(np.asarray(expression, dtype=np.float64), quaternions(np.asarray(pose)))


def stack_faces(*faces: Face) -> Face:
    """Several faces along a new first axis."""
    return Face(
        np.array([face.expression for face in faces]), np.array([face.turns for face in faces])
    )


def sizes(difference: Float64[Array, "65"]) -> Float64[Array, "55"]:
    """Magnitude `[55]` of a difference `[65]` in each channel; of a bone, its vector's length."""
    bones = difference[EXPRESSION_SIZE:].reshape(-1, 3)
    return np.concatenate(
        [np.abs(difference[:EXPRESSION_SIZE]), np.sqrt(np.einsum("bi,bi->b", bones, bones))]
    )


NEUTRAL = face_of(np.zeros(EXPRESSION_SIZE), np.zeros(POSE_SIZE))
"""No expression, looking straight ahead."""


# Head motion: the table of `--head`


@dataclass(frozen=True)
class HeadMotion:
    """What the head's own rotation does to an avatar that has shoulders."""

    description: str
    turn: Callable[[Float64[Array, "5 4"]], Float64[Array, "5 4"]]
    """Maps the quaternions of the bones `[5, 4]`."""


def _bend_neck(turns: Float64[Array, "5 4"]) -> Float64[Array, "5 4"]:
    """Give the neck both rotations: the gaze stays the same, and so does what hangs on the root."""
    result = turns.copy()
    result[_NECK_BONE] = product(turns[_GLOBAL_BONE], turns[_NECK_BONE])
    result[_GLOBAL_BONE] = IDENTITY
    return result


def _keep_still(turns: Float64[Array, "5 4"]) -> Float64[Array, "5 4"]:
    result = turns.copy()
    result[[_GLOBAL_BONE, _NECK_BONE]] = IDENTITY
    return result


HEADS = {
    "on": HeadMotion("as tracked", lambda turns: turns),
    "neck": HeadMotion("the neck does all of it", _bend_neck),
    "off": HeadMotion("the head stays, the face moves", _keep_still),
}
"""The table of `--head`."""


# Gains and limits of channels

ANGLES = ("yaw", "pitch", "roll")
"""Angles of a bone: R = Ry(yaw) Rx(pitch) Rz(roll), the order of trackers."""


def _with_angles_scaled(
    turns: Float64[Array, "5 4"], gains: Float64[Array, "5 3"]
) -> Float64[Array, "5 4"]:
    """Multiply yaw, pitch and roll of each bone."""
    result = turns.copy()
    for bone in np.flatnonzero((gains != 1).any(axis=1)):
        w, x, y, z = turns[bone]
        # the angles of a rotation matrix R = Ry Rx Rz, written with the quaternion's parts
        pitch = math.asin(min(1.0, max(-1.0, 2 * (w * x - y * z))))
        yaw = math.atan2(2 * (x * z + w * y), 1 - 2 * (x * x + y * y))
        roll = math.atan2(2 * (x * y + w * z), 1 - 2 * (x * x + z * z))
        a, b, c = np.array([yaw, pitch, roll]) * gains[bone] / 2
        by_yaw = np.array([math.cos(a), 0.0, math.sin(a), 0.0])
        by_pitch = np.array([math.cos(b), math.sin(b), 0.0, 0.0])
        by_roll = np.array([math.cos(c), 0.0, 0.0, math.sin(c)])
        result[bone] = product(product(by_yaw, by_pitch), by_roll)
    return result


def _unlimited() -> Float64[Array, "2 55"]:
    return np.asarray(np.outer([-math.inf, math.inf], np.ones(CHANNELS)), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Adjustment:
    """Gains and limits of all channels: 50 expressions and five bones."""

    gains: Float64[Array, "55"] = field(default_factory=lambda: np.ones(CHANNELS))
    """Factor of the tracker's value; of a bone, of the angle."""
    angle_gains: Float64[Array, "5 3"] = field(
        default_factory=lambda: np.ones((len(BONES), len(ANGLES)))
    )
    """Factor of yaw, pitch and roll of each bone; a negative one turns the other way."""
    limits: Float64[Array, "2 55"] = field(default_factory=_unlimited)
    """Least and greatest value; of a bone, the angle in radians, which is never below 0."""

    def apply_gains(self, face: Face) -> Face:
        """The face with gains applied."""
        if np.any(self.angle_gains != 1):
            face = Face(face.expression, _with_angles_scaled(face.turns, self.angle_gains))
        if np.all(self.gains == 1):
            return face
        expression, bones = np.split(self.gains, [EXPRESSION_SIZE])
        turns = quaternions(axis_angles(face.turns) * np.repeat(bones, 3))
        return Face(face.expression * expression, turns)

    def apply_limits(
        self, expression: Float64[Array, "50"], pose: Float64[Array, "15"]
    ) -> tuple[Float64[Array, "50"], Float64[Array, "15"]]:
        """An expression `[50]` and a pose `[15]` clipped to the limits."""
        if np.all(np.isinf(self.limits)):
            return expression, pose
        low, high = self.limits[:, :EXPRESSION_SIZE]
        bones = pose.reshape(-1, 3)
        angles = np.linalg.norm(bones, axis=1)
        allowed = np.minimum(angles, self.limits[1, EXPRESSION_SIZE:])
        scale = allowed / np.maximum(angles, 1e-12)
        return np.clip(expression, low, high), (bones * scale[:, None]).reshape(-1)
