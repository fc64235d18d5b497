"""The poses on which every export proves itself: frames of the training distribution and its corners, never noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.conventions import BONES, EXPRESSION_SIZE, JAW
from imavatar_deploy.tracks import read_track

Float = NDArray[np.float32]

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
"""Axis-angle of the bones that turn."""

CORNER_NAMES = (
    "at rest",
    "jaw open, head turned",
    "jaw aside, head nodding",
    "eyes aside, head rolled",
)
"""What each row of `CORNERS` shows, beside strong expressions in all but the first."""

TALK_FRAMES = 6

FLAME_CORNER = 2.0
"""FLAME's expression coefficients are in standard deviations, so this is far out; OpenHead's are weights in 0..1."""


@dataclass(frozen=True)
class ReferencePoses:
    """Some frames of motion."""

    expression: Float  # [T, 50]
    pose: Float  # [T, 15]

    @property
    def condition(self) -> Float:
        """[T, 53] what the texture network is told: expression and jaw."""
        return np.concatenate([self.expression, self.pose[:, JAW]], axis=1)


def proof_poses(edition: str) -> ReferencePoses:
    """Rest, corners of pose and expression together, and for OpenHead frames of the talk track."""
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


def _pose(corner: dict[str, tuple[float, float, float]]) -> Float:
    """[15]."""
    return np.array([corner.get(bone, (0, 0, 0)) for bone in BONES], dtype=np.float32).reshape(-1)


def _expression(edition: str, number: int) -> Float:
    """[50] other coefficients in each corner, none at rest."""
    expression = np.zeros(EXPRESSION_SIZE, dtype=np.float32)
    if number and edition == "openhead":
        expression[number :: len(CORNERS)] = 1.0
    elif number:
        expression[number : 10 : len(CORNERS)] = FLAME_CORNER  # the first ten matter most
    return expression
