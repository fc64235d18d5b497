"""The poses on which every export proves itself: frames of the training distribution and its corners, never noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.conventions import EXPRESSION_SIZE, JAW, POSE_SIZE
from imavatar_deploy.tracks import read_track

Float = NDArray[np.float32]

NECK, EYES = slice(3, 6), (slice(9, 12), slice(12, 15))
TALK_FRAMES = 6
FLAME_CORNER = 2.0
"""FLAME's expression coefficients are in standard deviations; OpenHead's are weights in 0..1."""


@dataclass(frozen=True)
class ProofPoses:
    """Some frames of motion."""

    expression: Float  # [T, 50]
    pose: Float  # [T, 15]

    @property
    def condition(self) -> Float:
        """[T, 53] what the texture network is told: expression and jaw."""
        return np.concatenate([self.expression, self.pose[:, JAW]], axis=1)


def proof_poses(edition: str) -> ProofPoses:
    """Rest, corners of the pose space, corners of the expression space, and for OpenHead frames of the talk track."""
    corners = [_corner(edition, number) for number in range(4)]
    expression = np.stack([expression for expression, _ in corners])
    pose = np.stack([pose for _, pose in corners])
    if edition != "openhead":
        return ProofPoses(expression, pose)
    talk = read_track("talk")
    frames = np.linspace(0, len(talk.pose) - 1, TALK_FRAMES + 2).astype(int)[1:-1]
    return ProofPoses(np.concatenate([expression, talk.expression[frames]]), np.concatenate([pose, talk.pose[frames]]))


def _corner(edition: str, number: int) -> tuple[Float, Float]:
    """Rest; jaw open, head turned left; jaw aside, head nodding; eyes aside, head rolled; other expressions in each."""
    expression, pose = np.zeros(EXPRESSION_SIZE, dtype=np.float32), np.zeros(POSE_SIZE, dtype=np.float32)
    if number == 0:
        return expression, pose
    if edition == "openhead":
        expression[number::4] = 1.0
    else:
        expression[number : 4 * number : 3] = FLAME_CORNER * np.array([1, -1, 1, -1], dtype=np.float32)[:number]
    pose[JAW] = ((0.35, 0, 0), (0.1, 0.08, 0), (0, -0.05, 0))[number - 1]
    pose[NECK] = ((0, 0.6, 0), (0.4, -0.3, 0), (-0.2, 0, 0.4))[number - 1]
    pose[:3] = ((0.05, 0, 0), (0, -0.1, 0), (0, 0.1, 0.05))[number - 1]
    for eye in EYES:
        pose[eye] = ((0, 0, 0), (0.2, -0.3, 0), (-0.2, 0.4, 0))[number - 1]
    return expression, pose
