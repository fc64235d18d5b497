"""Landmarks of a head model with known parameters, for the tests of the fits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from imavatar_deploy.head_fit.correspondences import landmark_points
from imavatar_deploy.head_fit.landmark_model import LandmarkModel
from imavatar_deploy.head_fit.terms import ImagePlane
from imavatar_deploy.head_model import HeadModel

INTRINSICS = np.array([2.7, 2.7, 0.5, 0.48], dtype=np.float32)
SIZE = (512, 512)


@lru_cache(maxsize=1)
def openhead() -> HeadModel:
    return HeadModel.load("openhead")


@dataclass(frozen=True, eq=False)
class Subject:
    """A motion, and its exact landmarks in pixels."""

    shape: Any
    expression: Any
    pose: Any
    translation: Any
    landmarks: Any

    def noisy(self, pixels: float, seed: int = 0) -> Any:
        rng = np.random.default_rng(seed)
        return self.landmarks + rng.normal(0, pixels, self.landmarks.shape)


SPOKEN = [
    "mouthFunnel",
    "mouthPucker",
    "mouthSmileLeft",
    "mouthSmileRight",
    "mouthLowerDownLeft",
    "mouthLowerDownRight",
    "mouthUpperUpLeft",
    "mouthUpperUpRight",
    "mouthStretchLeft",
    "mouthStretchRight",
    "browInnerUp",
    "browOuterUpLeft",
    "browOuterUpRight",
    "browDownLeft",
    "browDownRight",
    "eyeWideLeft",
    "eyeWideRight",
]


@lru_cache(maxsize=4)
def subject(frames: int = 100, seed: int = 1, root: float = 0.0) -> Subject:
    """A head that turns, speaks, blinks and looks around."""
    head = openhead()
    rng = np.random.default_rng(seed)
    time = np.arange(frames) / 25.0
    expression = np.zeros((frames, 50))
    names = list(head.expression_names)

    def curve(period: float) -> Any:
        return np.sin(2 * np.pi * (time / period + rng.uniform()))

    for name in SPOKEN:
        expression[:, names.index(name)] = 0.4 * np.maximum(curve(rng.uniform(0.7, 3.0)), 0) ** 2
    blink = np.maximum(np.cos(2 * np.pi * time / 2.5), 0) ** 40
    for side in ("Left", "Right"):
        expression[:, names.index("eyeBlink" + side)] = blink
    pose = np.zeros((frames, 15))
    pose[:, 3:6] = np.stack([0.15 * curve(2.7), 0.5 * curve(3.9), 0.1 * curve(3.1)], axis=1)
    pose[:, :3] = root * pose[:, 3:6]
    pose[:, 6] = 0.15 * (1 + curve(0.9))
    pose[:, 9] = pose[:, 12] = 0.1 * curve(1.7)
    pose[:, 10] = pose[:, 13] = 0.2 * curve(2.1)
    translation = np.tile([0.02, -0.05, -4.0], (frames, 1))
    shape = rng.normal(0, 1.0, 30)
    model = LandmarkModel.of(head, landmark_points(head))
    points = model.posed(expression, pose, shape).points + translation[:, None]
    return Subject(
        shape, expression, pose, translation, ImagePlane.of(INTRINSICS, SIZE).project(points)
    )
