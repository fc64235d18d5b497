"""Reference poses: the expressions and poses on which every export is compared with the networks.

They are frames of the training distribution and its corners.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.conventions import BONES, EXPRESSION_SIZE, JAW
from imavatar_deploy.tracks import read_track

CORNERS: tuple[dict[str, tuple[float, float, float]], ...] = (
    {},
    {"global": (0.05, 0, 0), "neck": (0, 0.6, 0), "jaw": (0.35, 0, 0)},
    {
        "global": (0, -0.1, 0),
        "neck": (0.4, -0.3, 0),
        "jaw": (0.1, 0.08, 0),
        "eyeL": (0.2, -0.3, 0),
        "eyeR": (0.2, -0.3, 0),
    },
    {
        "global": (0, 0.1, 0.05),
        "neck": (-0.2, 0, 0.4),
        "jaw": (0, -0.05, 0),
        "eyeL": (-0.2, 0.4, 0),
        "eyeR": (-0.2, 0.4, 0),
    },
)
"""Axis-angle of the bones that are rotated."""

CORNER_NAMES = (
    "at rest",
    "jaw open, head turned",
    "jaw aside, head nodding",
    "eyes aside, head rolled",
)
"""Description of each row of `CORNERS`; all but the first also have strong expressions."""

TALK_FRAMES = 6
"""Frames of the bundled motion."""

FLAME_CORNER = 2.0
"""Expression coefficient of a corner, for FLAME.

FLAME's coefficients are in standard deviations; OpenHead's are weights in 0..1.
"""


@dataclass(frozen=True)
class ReferencePoses:
    """Expressions and poses of T frames."""

    expression: Float32[Array, "T E"]
    pose: Float32[Array, "T 15"]

    @property
    def condition(self) -> Float32[Array, "T C"]:
        """Condition of the texture network: expression and jaw."""
        return np.concatenate([self.expression, self.pose[:, JAW]], axis=1)


def reference_poses(edition: str) -> ReferencePoses:
    """Rest, corners of pose and expression, and for OpenHead frames of the bundled motion.

    Args:
        edition: of the head model.
    """
    pose = np.stack([_pose(corner) for corner in CORNERS])
    expression = np.stack([_expression(edition, number) for number in range(len(CORNERS))])
    if edition != "openhead":
        return ReferencePoses(expression, pose)
    talk = read_track("talk")
    frames = np.linspace(0, len(talk.pose) - 1, TALK_FRAMES + 2).astype(int)[1:-1]
    return ReferencePoses(
        np.concatenate([expression, talk.expression[frames]]),
        np.concatenate([pose, talk.pose[frames]]),
    )


def _pose(corner: dict[str, tuple[float, float, float]]) -> Float32[Array, "15"]:
    return np.array([corner.get(bone, (0, 0, 0)) for bone in BONES], dtype=np.float32).reshape(-1)


def _expression(edition: str, number: int) -> Float32[Array, " E"]:
    """Expression of corner `number`: different coefficients in each corner, none at rest."""
    expression = np.zeros(EXPRESSION_SIZE, dtype=np.float32)
    if number and edition == "openhead":
        expression[number :: len(CORNERS)] = 1.0
    elif number:
        expression[number : 10 : len(CORNERS)] = FLAME_CORNER  # the first ten matter most
    return expression
