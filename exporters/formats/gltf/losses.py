"""What a GLB or VRM loses of an avatar's motion while a program drives it, in millimetres."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.conventions import JAW
from imavatar_deploy.rendering.posing import pose_plainly

from .morph_targets import (
    JAW_OPEN,
    MM_PER_UNIT,
    jaw_corrective,
    jaw_opening,
    with_fixed_joints,
    with_four_influences,
    without_correctives,
)

Float = NDArray[np.float32]
Limited = Callable[[Avatar, Float, Float], Float]


def jaw_weight(pose: Float) -> float:
    """Weight of the open jaw's corrective for a pose `[15]`."""
    return float(pose[JAW.start]) / JAW_OPEN


def bones_alone(avatar: Avatar) -> Avatar:
    """What moves when an engine sets the weights of the expressions and turns the bones."""
    return with_four_influences(with_fixed_joints(without_correctives(avatar)))


def live(avatar: Avatar, pose: Float) -> Avatar:
    """The same for a pose `[15]` when the engine sets the weight of the open jaw's corrective, too."""
    bare = bones_alone(avatar)
    return replace(
        bare, rest=bare.rest + np.float32(jaw_weight(pose)) * jaw_corrective(avatar).offset
    )


def _posed_as(limited: Callable[[Avatar], Avatar]) -> Limited:
    return lambda avatar, expression, pose: pose_plainly(limited(avatar), expression, pose).vertices


def _live(avatar: Avatar, expression: Float, pose: Float) -> Float:
    return pose_plainly(live(avatar, pose), expression, pose).vertices


def _jaw_by_expression(avatar: Avatar, expression: Float, pose: Float) -> Float:
    """The jaw's bone stays, and the target that holds its whole opening has the weight."""
    bare, still = bones_alone(avatar), pose.copy()
    still[JAW] = 0.0
    opened = bare.rest + np.float32(jaw_weight(pose)) * jaw_opening(avatar).offset
    return pose_plainly(replace(bare, rest=opened), expression, still).vertices


ALWAYS = {
    "four influences a vertex": _posed_as(with_four_influences),
    "joints that do not follow the expression": _posed_as(with_fixed_joints),
    "no pose correctives": _posed_as(without_correctives),
}
GLB_LIMITS: dict[str, Limited] = {
    **ALWAYS,
    "driven live, all together": _live,
    "driven live without jawOpenCorrective": _posed_as(bones_alone),
}
VRM_LIMITS: dict[str, Limited] = {
    **ALWAYS,
    "driven live, the jaw by its expression": _jaw_by_expression,
}
"""What is lost -> the vertices `[V, 3]` of an expression and a pose that are left."""


def losses_mm(
    avatar: Avatar, limits: Mapping[str, Limited], expression: Float, pose: Float
) -> dict[str, float]:
    """The largest displacement (mm) that each limit costs over some frames `[T, 50]`, `[T, 15]`."""
    frames = list(zip(expression, pose, strict=True))
    truth = [pose_plainly(avatar, *frame).vertices for frame in frames]
    return {
        name: MM_PER_UNIT
        * max(
            _farthest(true, left(avatar, *frame)) for true, frame in zip(truth, frames, strict=True)
        )
        for name, left in limits.items()
    }


def _farthest(a: Float, b: Float) -> float:
    return float(np.linalg.norm(a - b, axis=1).max())
