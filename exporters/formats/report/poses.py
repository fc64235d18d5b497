"""POSES: the named poses of the report, which are faces and views by the names of an option."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.conventions import JAW
from imavatar_deploy.retarget.arkit import ARKIT_NAMES
from imavatar_deploy.retarget.expression_map import ExpressionMap, split

from ...skeleton import NEUTRAL_EXPRESSION, REST_POSE


@dataclass(frozen=True)
class ReportPose:
    """A face and the side from which it is shown."""

    title: str
    shapes: Mapping[str, float] = field(default_factory=dict)
    """ARKit's shapes and their weights."""
    jaw: float = 0.0
    """Rotation of the jaw, radians."""
    yaw: float = 0.0
    """Degrees by which the camera goes around the head, positive to the person's left."""


def _both(name: str) -> dict[str, float]:
    return {f"{name}Left": 1.0, f"{name}Right": 1.0}


POSES: dict[str, tuple[ReportPose, ...]] = {
    "neutral": (ReportPose("Neutral"),),
    "smile": (ReportPose("Smile", _both("mouthSmile")),),
    "blink": (ReportPose("Full blink", _both("eyeBlink")),),
    "jaw": tuple(ReportPose(f"Jaw open by {angle:g} rad", jaw=angle) for angle in (0.1, 0.2, 0.3)),
    "quarter": (
        ReportPose("Three quarters, left side", yaw=45.0),
        ReportPose("Three quarters, right side", yaw=-45.0),
    ),
    "profile": (
        ReportPose("Profile, left side", yaw=90.0),
        ReportPose("Profile, right side", yaw=-90.0),
    ),
    "back": (ReportPose("Back", yaw=180.0),),
}
"""Name in `--report-poses` -> its poses, in the order of the page."""


def face_of(
    pose: ReportPose, expressions: Sequence[str], arkit_map: ExpressionMap | None
) -> tuple[Float32[Array, " E"], Float32[Array, "15"]] | None:
    """Expression and pose of the face; None where the avatar has no shapes of these names.

    Args:
        pose: the named pose.
        expressions: names of the avatar's expressions.
        arkit_map: the map to an avatar whose expressions are not ARKit's.
    """
    expression, joints = NEUTRAL_EXPRESSION.copy(), REST_POSE.copy()
    if {*pose.shapes} <= {*expressions}:
        for name, weight in pose.shapes.items():
            expression[list(expressions).index(name)] = weight
    elif arkit_map is not None:
        weights = np.zeros(len(ARKIT_NAMES), dtype=np.float32)
        for name, weight in pose.shapes.items():
            weights[ARKIT_NAMES.index(name)] = weight
        expression, joints = split(weights @ arkit_map.matrix, joints)
    else:
        return None
    joints[JAW.start] += np.float32(pose.jaw)
    return expression, joints
