"""Case: one frame to be measured, the truth beside what was predicted; and what to say where a part is absent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]
Points = NDArray[np.float32]
Perceptual = Callable[[Image, Image], float]
"""A learned distance of two images `[H, W, 3]` in 0..1."""


@dataclass(frozen=True)
class Prediction:
    """What was rendered for one frame; a part that a source cannot give is None."""

    rgb: Image  # [H, W, 3] 0..1, white where nothing is
    mask: Mask | None = None  # [H, W]
    normal: Image | None = None  # [H, W, 3] unit, model space, where the mask is
    landmarks: Points | None = None  # [70, 2] pixels: where the avatar carries the head model's landmarks


@dataclass(frozen=True)
class Case:
    """One frame: truth and prediction, all of one size. What is None cannot be measured."""

    name: str
    truth: Image  # [H, W, 3] 0..1, white outside the mask
    truth_mask: Mask  # [H, W]
    prediction: Image  # [H, W, 3] 0..1
    prediction_mask: Mask | None = None
    truth_normal: Image | None = None  # [H, W, 3]
    prediction_normal: Image | None = None
    keypoints: Points | None = None  # [70, 2] pixels: the dataset's projected landmarks, the 68 of the face first
    landmarks: Points | None = None  # [70, 2] pixels: the same landmarks, as the avatar carries them
    perceptual: Perceptual | None = None


ABSENT = {
    "prediction_mask": "the predicted images have no alpha channel to tell the head from the background",
    "truth_normal": "the dataset has no normals",
    "prediction_normal": "images alone have no normals; a run or an avatar has them",
    "keypoints": "the dataset has no flame_keypoints",
    "landmarks": "nothing says where these predictions carry the head model's landmarks (a detector would be needed)",
    "perceptual": "needs --lpips-weights",
}
"""Why a metric that needs this part of a case was not measured."""
