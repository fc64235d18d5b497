"""Retarget: a tracker's words -> an avatar's expression and pose, and what one row of the table of ways says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.conventions import POSE_SIZE
from imavatar_deploy.errors import InputError

Float = NDArray[np.float32]

Turn = Callable[[Float, Float], tuple[Float, Float]]


@dataclass(frozen=True)
class Retarget:
    """Puts one observation after the other into an avatar's words; a few microseconds a call.

    retarget(weights [n], pose [15]) -> (expression [50], pose [15]), all float32. Global rotation and neck pass as they
    are. What comes back is new: nothing of the caller's is changed or kept.
    """

    note: str
    """What it does, in one line for the user."""
    size: int
    """n, how many weights it reads."""
    turn: Turn
    """The work itself, without a check."""

    def __call__(self, weights: Float, pose: Float) -> tuple[Float, Float]:
        """See the class.

        Raises:
            InputError: a wrong number of values.
        """
        if weights.shape != (self.size,) or pose.shape != (POSE_SIZE,):
            raise InputError(
                f"this retargeting reads {self.size} weights and a pose of {POSE_SIZE}, got arrays of shape "
                f"{list(weights.shape)} and {list(pose.shape)}"
            )
        return self.turn(weights, pose)


@dataclass(frozen=True)
class RetargetRequest:
    """Between what is to be translated."""

    vocabulary: str | None
    """`arkit52`, a head-model edition, or None where a stream does not say."""
    edition: str
    """The avatar's head model."""
    expression_names: tuple[str, ...]
    """The avatar's own."""
    map_file: str | None
    """What the user gave with `--map`."""
    any_edition: bool


@dataclass(frozen=True)
class RetargetRow:
    """One way of retargeting, owned by the file that does it."""

    name: str
    description: str
    fits: Callable[[RetargetRequest], bool]
    make: Callable[[RetargetRequest], Retarget]
