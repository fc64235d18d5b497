"""What a GLB loses of an avatar's motion while an engine drives it, in millimetres."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.animation.animate import pose_plainly
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.conventions import JAW

from .limits import MM_PER_UNIT, with_fixed_joints, with_four_influences, without_correctives
from .targets import JAW_OPEN, jaw_corrective

Float = NDArray[np.float32]


def jaw_weight(pose: Float) -> float:
    """Weight of the open jaw's corrective for a pose `[15]`."""
    return float(pose[JAW.start]) / JAW_OPEN


def bones_alone(avatar: Avatar) -> Avatar:
    """What moves when an engine sets the weights of the expressions and turns the bones."""
    return with_four_influences(with_fixed_joints(without_correctives(avatar)))


def live(avatar: Avatar, pose: Float) -> Avatar:
    """The same for a pose `[15]` when the engine sets the weight of the open jaw's corrective, too."""
    bare = bones_alone(avatar)
    return replace(bare, rest=bare.rest + np.float32(jaw_weight(pose)) * jaw_corrective(avatar).offset)


LIMITS: dict[str, Callable[[Avatar, Float], Avatar]] = {
    "four influences a vertex": lambda avatar, pose: with_four_influences(avatar),
    "joints that do not follow the expression": lambda avatar, pose: with_fixed_joints(avatar),
    "no pose correctives": lambda avatar, pose: without_correctives(avatar),
    "driven live, all together": live,
    "driven live without jawOpenCorrective": lambda avatar, pose: bones_alone(avatar),
}
"""What is lost -> the avatar that lost it, as it is for a pose."""


def losses_mm(avatar: Avatar, expression: Float, pose: Float) -> dict[str, float]:
    """The largest displacement (mm) that each limit costs over some frames `[T, 50]`, `[T, 15]`."""
    frames = list(zip(expression, pose, strict=True))
    truth = [pose_plainly(avatar, *frame).vertices for frame in frames]
    return {
        name: MM_PER_UNIT
        * max(
            _farthest(true, pose_plainly(limited(avatar, frame[1]), *frame).vertices)
            for true, frame in zip(truth, frames, strict=True)
        )
        for name, limited in LIMITS.items()
    }


def _farthest(a: Float, b: Float) -> float:
    return float(np.linalg.norm(a - b, axis=1).max())
