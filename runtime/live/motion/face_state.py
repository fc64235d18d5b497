"""Face: an expression and five rotations as one point that can be subtracted, added to and averaged.

The difference of two faces, and every speed, is a plain vector `[65]`: 50 expressions, then a rotation vector (radians)
for each bone. All that smooths, predicts or corrects works on such vectors, so no angle ever wraps. There are 55
*channels*: each expression, and each bone as a whole.
"""

from __future__ import annotations

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
