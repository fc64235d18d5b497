"""Limits of GLB and VRM: displacement errors, in millimetres, when a program drives the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.conventions import JAW
from imavatar_deploy.rendering.posing import pose_plainly

from .morph_targets import (
    JAW_OPEN,
    MM_PER_UNIT,
    MorphTarget,
    jaw_corrective,
    jaw_opening,
    with_fixed_joints,
    with_four_influences,
    without_correctives,
)

LimitedPosing = Callable[
    [Avatar, Float32[Array, " E"], Float32[Array, "15"]], Float32[Array, "V 3"]
]
"""Poses an avatar for an expression and a pose, with a limit of the format."""


def jaw_weight(pose: Float32[Array, "15"]) -> float:
    """Weight of the open jaw's corrective for a pose."""
    return float(pose[JAW.start]) / JAW_OPEN


def driven_by_bones(avatar: Avatar) -> Avatar:
    """`avatar` as it moves when an engine sets the weights of expressions and rotates the bones."""
    return with_four_influences(with_fixed_joints(without_correctives(avatar)))


def live(avatar: Avatar, pose: Float32[Array, "15"]) -> Avatar:
    """`avatar` as it moves when the engine also sets the weight of the open jaw's corrective."""
    return _with_target(driven_by_bones(avatar), jaw_corrective(avatar), jaw_weight(pose))


def _with_target(avatar: Avatar, target: MorphTarget, weight: float) -> Avatar:
    """`avatar` with a morph target added to its rest mesh."""
    rest = avatar.rest + np.float32(weight) * target.offset
    return replace(avatar, rest=np.asarray(rest, dtype=np.float32))


def _posed_as(limit: Callable[[Avatar], Avatar]) -> LimitedPosing:
    return lambda avatar, expression, pose: pose_plainly(limit(avatar), expression, pose).vertices


def _live(
    avatar: Avatar, expression: Float32[Array, " E"], pose: Float32[Array, "15"]
) -> Float32[Array, "V 3"]:
    return pose_plainly(live(avatar, pose), expression, pose).vertices


def _jaw_by_expression(
    avatar: Avatar, expression: Float32[Array, " E"], pose: Float32[Array, "15"]
) -> Float32[Array, "V 3"]:
    """Pose with the target of the jaw's whole opening instead of the jaw's bone."""
    opened = _with_target(driven_by_bones(avatar), jaw_opening(avatar), jaw_weight(pose))
    still = pose.copy()
    still[JAW] = 0.0
    return pose_plainly(opened, expression, still).vertices


COMMON_LIMITS = {
    "four influences a vertex": _posed_as(with_four_influences),
    "joints that do not follow the expression": _posed_as(with_fixed_joints),
    "no pose correctives": _posed_as(without_correctives),
}
GLB_LIMITS: dict[str, LimitedPosing] = {
    **COMMON_LIMITS,
    "driven live, all together": _live,
    "driven live without jawOpenCorrective": _posed_as(driven_by_bones),
}
"""Limits of a GLB."""

VRM_LIMITS: dict[str, LimitedPosing] = {
    **COMMON_LIMITS,
    "driven live, the jaw by its expression": _jaw_by_expression,
}
"""Limits of a VRM."""


def losses_mm(
    avatar: Avatar,
    limits: Mapping[str, LimitedPosing],
    expression: Float32[Array, "T E"],
    pose: Float32[Array, "T 15"],
) -> dict[str, float]:
    """Largest displacement error (mm) of each limit over T frames."""
    frames = list(zip(expression, pose, strict=True))
    truth = [pose_plainly(avatar, *frame).vertices for frame in frames]
    return {
        name: MM_PER_UNIT
        * max(
            _largest_distance(true, posing(avatar, *frame))
            for true, frame in zip(truth, frames, strict=True)
        )
        for name, posing in limits.items()
    }


def _largest_distance(a: Float32[Array, "V 3"], b: Float32[Array, "V 3"]) -> float:
    return float(np.linalg.norm(a - b, axis=1).max())
