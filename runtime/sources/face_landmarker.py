"""MediaPipe's FaceLandmarker with the user's own model file: an image -> a face as ARKit weights.

mediapipe 1.2 contains no model and no `solutions`; no model is downloaded here. Its output, from
its sources and https://developers.google.com/edge/api/mediapipe:

- 52 categories by name, `_neutral` first, then ARKit's without tongueOut. Left and right are the
  person's own unless the image is mirrored; OpenCV's is not.
- A matrix that maps its canonical face (+x the person's left, +y up, +z out of it, centimetres) to
  a camera that looks along its own -z with +y up. Its rotation is the head's in model axes, zero
  for a head that looks straight into the camera.
- No rotations of the eyes: the eyeLook shapes alone describe the gaze.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from imavatar_deploy import optional
from imavatar_deploy.arrays import Array, Float, UInt8
from imavatar_deploy.checks import ensure_shape
from imavatar_deploy.errors import InputError
from imavatar_deploy.retarget.arkit import ARKIT_NAMES

from .arkit import SHAPE_INDEX, arkit_observation, of_matrix
from .observation import Observation

Picture = UInt8[Array, "H W 3"]
"""A camera's image, BGR."""

FaceDetector = Callable[[Picture, float], Observation | None]
"""An image `[H, W, 3]` BGR and its time in seconds -> the face in it, or None."""


class Category(Protocol):
    """One of MediaPipe's categories."""

    category_name: str | None
    score: float | None


def observation_of(
    categories: Iterable[Category], matrix: Float[Array, "..."], time: float | None
) -> Observation:
    """Convert MediaPipe's categories and its matrix `[4, 4]` of one face; missing shapes are 0.

    Raises:
        InputError: a value is missing or not finite, or no category has an ARKit name.
    """
    ensure_shape("MediaPipe's face matrix", matrix, (4, 4))
    scores = {str(category.category_name): category.score for category in categories}
    weights = np.zeros(len(ARKIT_NAMES))
    named = [name for name in scores if name in SHAPE_INDEX]
    if not named:
        raise InputError(
            "the face model has no ARKit shapes: use a face_landmarker.task with blendshapes"
        )
    for name in named:
        weights[SHAPE_INDEX[name]] = np.nan if scores[name] is None else scores[name]
    rotation = np.asarray(matrix, dtype=np.float64)[:3, :3]
    return arkit_observation(weights, of_matrix(rotation), time=time)


def detector_of(landmarker: Any, as_image: Callable[[Picture], Any]) -> FaceDetector:
    """The face detector of an open landmarker, which requires times that grow.

    Args:
        as_image: wraps an RGB image `[H, W, 3]` for the landmarker.
    """
    last = -1

    def detect(picture: Picture, time: float) -> Observation | None:
        nonlocal last
        last = max(last + 1, int(time * 1000))
        image = as_image(np.ascontiguousarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)))
        result = landmarker.detect_for_video(image, last)
        if not result.face_blendshapes or not result.facial_transformation_matrixes:
            return None
        return observation_of(
            result.face_blendshapes[0], result.facial_transformation_matrixes[0], time
        )

    return detect


@contextmanager
def open_landmarker(model: str) -> Iterator[FaceDetector]:
    """Open MediaPipe with a model file.

    Raises:
        MissingDependencyError: mediapipe is not installed.
        InputError: the model cannot be read.
    """
    mediapipe = optional.require("mediapipe", extra="webcam")
    if not Path(model).is_file():
        raise InputError(f"no face model {model!r}: give the path of a face_landmarker.task file")
    with _landmarker(mediapipe, model) as landmarker:
        yield detector_of(
            landmarker,
            lambda rgb: mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=rgb),
        )


def _landmarker(mediapipe: Any, model: str) -> Any:
    vision = mediapipe.tasks.vision
    options = vision.FaceLandmarkerOptions(
        base_options=mediapipe.tasks.BaseOptions(model_asset_path=model),
        running_mode=vision.RunningMode.VIDEO,
        output_face_blendshapes=True,
        output_facial_transformation_matrixes=True,
    )
    try:
        return vision.FaceLandmarker.create_from_options(options)
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"{model} cannot be read as a face_landmarker.task: {error}") from error
