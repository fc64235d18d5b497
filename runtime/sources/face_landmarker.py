"""MediaPipe's FaceLandmarker with the user's own model file: an image -> the face in ARKit's words.

mediapipe 1.2 brings no model and has no `solutions` any more; nothing is fetched here. What it gives, from its own
sources and https://developers.google.com/edge/api/mediapipe:
- 52 categories by name, `_neutral` first, then ARKit's but for tongueOut; left and right are the person's own unless
  the picture is mirrored, and OpenCV's is not.
- The matrix takes its canonical face (+x the person's left, +y up, +z out of it, centimetres) to a camera that looks
  along its own -z with +y up: its rotation is the head's in the model's axes, straight when it looks into the camera.
- The eyes' turns are not given: the eyeLook shapes alone say where they look.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from imavatar_deploy import optional
from imavatar_deploy.checks import ensure_shape
from imavatar_deploy.errors import InputError
from imavatar_deploy.retarget.arkit import ARKIT_NAMES

from .arkit import PLACE, arkit_observation, of_matrix
from .observation import Observation

Bytes = NDArray[np.uint8]

Look = Callable[[Bytes, float], Observation | None]
"""A picture `[H, W, 3]` BGR and its time in seconds -> the face in it, or None."""


class Category(Protocol):
    """One of MediaPipe's categories."""

    category_name: str | None
    score: float | None


def observation_of(
    categories: Iterable[Category], matrix: NDArray[np.float64], time: float | None
) -> Observation:
    """MediaPipe's categories and its matrix `[4, 4]` of one face -> an observation; shapes that are left out are 0.

    Raises:
        InputError: a value is missing or not finite, or no category has an ARKit name.
    """
    ensure_shape("MediaPipe's face matrix", matrix, (4, 4))
    scores = {str(category.category_name): category.score for category in categories}
    weights = np.zeros(len(ARKIT_NAMES))
    named = [name for name in scores if name in PLACE]
    if not named:
        raise InputError(
            "the face model gives no ARKit shapes: use a face_landmarker.task with blendshapes"
        )
    for name in named:
        weights[PLACE[name]] = np.nan if scores[name] is None else scores[name]
    return arkit_observation(weights, of_matrix(np.asarray(matrix)[:3, :3]), time=time)


def looking(landmarker: Any, as_image: Callable[[Bytes], Any]) -> Look:
    """What an open landmarker sees; `as_image` wraps an RGB picture for it. It refuses times that do not grow."""
    last = -1

    def look(picture: Bytes, time: float) -> Observation | None:
        nonlocal last
        last = max(last + 1, int(time * 1000))
        image = as_image(np.ascontiguousarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)))
        result = landmarker.detect_for_video(image, last)
        if not result.face_blendshapes or not result.facial_transformation_matrixes:
            return None
        return observation_of(
            result.face_blendshapes[0], result.facial_transformation_matrixes[0], time
        )

    return look


@contextmanager
def open_landmarker(model: str) -> Iterator[Look]:
    """Open MediaPipe with a model file.

    Raises:
        MissingDependencyError: mediapipe is not there.
        InputError: the model cannot be read.
    """
    mediapipe = optional.require("mediapipe", extra="webcam")
    if not Path(model).is_file():
        raise InputError(
            f"no face model {model!r}: give the path of a face_landmarker.task that you have"
        )
    with _created(mediapipe, model) as landmarker:
        yield looking(
            landmarker,
            lambda rgb: mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=rgb),
        )


def _created(mediapipe: Any, model: str) -> Any:
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
