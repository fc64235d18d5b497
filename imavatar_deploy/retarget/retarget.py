"""Retarget: a tracker's weights to an avatar's expression and pose, and the row of a strategy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.conventions import POSE_SIZE
from imavatar_deploy.errors import InputError

Turn = Callable[
    [Float32[Array, " n"], Float32[Array, "15"]], tuple[Float32[Array, "50"], Float32[Array, "15"]]
]
"""(weights `[n]`, pose `[15]`) -> (expression `[50]`, pose `[15]`)."""


@dataclass(frozen=True)
class Retarget:
    """Converts the observations of a tracker to an avatar's expression and pose.

    retarget(weights [n], pose [15]) -> (expression [50], pose [15]), all float32. Global rotation
    and neck stay the same. The results are new arrays; the arguments are neither changed nor kept.
    A call takes a few microseconds.
    """

    note: str
    """Description in one line for the user."""
    size: int
    """Number of weights, n."""
    turn: Turn
    """The conversion without validation."""

    def __call__(
        self, weights: Float32[Array, "..."], pose: Float32[Array, "..."]
    ) -> tuple[Float32[Array, "50"], Float32[Array, "15"]]:
        """Return the expression `[50]` and the pose `[15]` for weights `[n]` and a pose `[15]`.

        Raises:
            InputError: the number of values is wrong.
        """
        if weights.shape != (self.size,) or pose.shape != (POSE_SIZE,):
            raise InputError(
                f"this retargeting reads {self.size} weights and a pose of {POSE_SIZE}, "
                f"got arrays of shape {list(weights.shape)} and {list(pose.shape)}"
            )
        return self.turn(weights, pose)


@dataclass(frozen=True)
class RetargetRequest:
    """The source and the target of a conversion, from which a strategy is chosen."""

    vocabulary: str | None
    """`arkit52`, a head-model edition, or None if the stream does not state it."""
    edition: str
    """Head model of the avatar."""
    expression_names: tuple[str, ...]
    """Expression names of the avatar."""
    map_file: str | None
    """Value of `--map`."""
    any_edition: bool
    """Whether codes or a map of another head model are accepted."""


@dataclass(frozen=True)
class RetargetRow:
    """One strategy of retargeting."""

    name: str
    description: str
    fits: Callable[[RetargetRequest], bool]
    """Whether the strategy applies to a request."""
    make: Callable[[RetargetRequest], Retarget]
