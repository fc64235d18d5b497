"""Face: an expression and five rotations as one point that can be subtracted, added to and averaged.

The difference of two faces, and every speed, is a plain vector `[65]`: 50 expressions, then a rotation vector (radians)
for each bone. All that smooths, predicts or corrects works on such vectors, so no angle ever wraps. There are 55
*channels*: each expression, and each bone as a whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.conventions import BONES, EXPRESSION_SIZE, POSE_SIZE
from imavatar_deploy.kinematics import axis_angles, inverse, product, quaternions

Double = NDArray[np.float64]

CHANNELS = EXPRESSION_SIZE + len(BONES)

CHANNEL_OF = np.concatenate(
    [np.arange(EXPRESSION_SIZE), EXPRESSION_SIZE + np.repeat(np.arange(len(BONES)), 3)]
)
"""[65] the channel that each entry of a difference belongs to."""


class Face(NamedTuple):
    """One face, or with leading axes several."""

    expression: Double  # [..., 50]
    turns: Double  # [..., 5, 4] unit quaternions, the real part first

    def minus(self, other: Face) -> Double:
        """What takes `other` here, `[..., 65]`; each bone by the shorter way."""
        turned = axis_angles(product(self.turns, inverse(other.turns)))
        return np.concatenate([self.expression - other.expression, turned], axis=-1)

    def plus(self, difference: Double) -> Face:
        """This face moved by a difference `[..., 65]`."""
        turns = product(quaternions(difference[..., EXPRESSION_SIZE:]), self.turns)
        return Face(self.expression + difference[..., :EXPRESSION_SIZE], turns)

    def pose(self) -> Double:
        """Axis-angle `[..., 15]` in radians."""
        return axis_angles(self.turns)


def face_of(expression: NDArray[np.floating], pose: NDArray[np.floating]) -> Face:
    """The face of a code `[..., 50]` and an axis-angle pose `[..., 15]`."""
    return Face(np.asarray(expression, dtype=np.float64), quaternions(np.asarray(pose)))


def stacked(*faces: Face) -> Face:
    """Several faces along a new first axis."""
    return Face(
        np.array([face.expression for face in faces]), np.array([face.turns for face in faces])
    )


def sizes(difference: Double) -> Double:
    """How large a difference `[65]` is in each channel, `[55]`: bones as the length of their vector."""
    bones = difference[EXPRESSION_SIZE:].reshape(-1, 3)
    return np.concatenate(
        [np.abs(difference[:EXPRESSION_SIZE]), np.sqrt(np.einsum("bi,bi->b", bones, bones))]
    )


NEUTRAL = face_of(np.zeros(EXPRESSION_SIZE), np.zeros(POSE_SIZE))
"""No expression, looking straight ahead."""


# What the head's own rotation does to an avatar that has shoulders: the table of `--head`.


STILL = np.array([1.0, 0.0, 0.0, 0.0])

GLOBAL, NECK = BONES.index("global"), BONES.index("neck")


@dataclass(frozen=True)
class HeadMotion:
    """One row; `turn` takes and gives the quaternions of the bones, `[5, 4]`."""

    description: str
    turn: Callable[[Double], Double]


def _bend_neck(turns: Double) -> Double:
    """The neck turns by as much as both did, so the head looks where it did, and what hangs on the root stays."""
    turned = turns.copy()
    turned[NECK] = product(turns[GLOBAL], turns[NECK])
    turned[GLOBAL] = STILL
    return turned


def _keep_still(turns: Double) -> Double:
    turned = turns.copy()
    turned[[GLOBAL, NECK]] = STILL
    return turned


HEADS = {
    "on": HeadMotion("as tracked", lambda turns: turns),
    "neck": HeadMotion("the neck does all of it", _bend_neck),
    "off": HeadMotion("the head stays, the face moves", _keep_still),
}
"""The table."""


# Adjustment: how strongly each channel follows the tracker, and how far it may go.


def _endless() -> Double:
    return np.asarray(np.outer([-math.inf, math.inf], np.ones(CHANNELS)), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Adjustment:
    """Gains and limits of all channels: 50 expressions and five bones."""

    gains: Double = field(default_factory=lambda: np.ones(CHANNELS))
    """[55] the tracker's value times this; of a bone, the angle."""
    limits: Double = field(default_factory=_endless)
    """[2, 55] least and greatest value; of a bone, the angle in radians, which is never below 0."""

    def scaled(self, face: Face) -> Face:
        """The face with gains applied."""
        if np.all(self.gains == 1):
            return face
        expression, bones = np.split(self.gains, [EXPRESSION_SIZE])
        turns = quaternions(axis_angles(face.turns) * np.repeat(bones, 3))
        return Face(face.expression * expression, turns)

    def limited(self, expression: Double, pose: Double) -> tuple[Double, Double]:
        """An expression `[50]` and a pose `[15]` within the limits."""
        if np.all(np.isinf(self.limits)):
            return expression, pose
        low, high = self.limits[:, :EXPRESSION_SIZE]
        bones = pose.reshape(-1, 3)
        angles = np.linalg.norm(bones, axis=1)
        allowed = np.minimum(angles, self.limits[1, EXPRESSION_SIZE:])
        return np.clip(expression, low, high), (
            bones * (allowed / np.maximum(angles, 1e-12))[:, None]
        ).reshape(-1)
