"""Camera of this computer, `webcam:0`: its images, tracked by `FaceMotion`."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import cv2

from imavatar_deploy.errors import MissingDependencyError, UsageError

from .image_options import read_focal, split_options
from .image_stream import Images, TimedImage, open_images
from .observation import Inbox
from .source import LiveSource, Selection, SourceFormat

PREFIX = "webcam:"

DEVICE_PREFIX = "/dev/"
"""Start of a camera's path on Linux, such as `/dev/video2` or one of `/dev/v4l/by-id`."""

USUAL_FPS = 30.0
"""Rate of cameras that do not report theirs."""

MOST_DIGITS = 3
"""Digits of a camera's number; a longer number is a file."""


def read_target(target: str) -> tuple[int | str, float | None]:
    """Split a `--source` argument into a camera's number or path, and the focal length.

    Raises:
        UsageError: it names no camera, or has an unknown option.
    """
    name, option = split_options(target.removeprefix(PREFIX))
    is_number = name.isdecimal() and len(name) <= MOST_DIGITS
    if option.startswith("?model="):
        instead = f"webcam:{name}" if is_number else f"video:{name}"
        raise UsageError(
            f"a camera needs no face model any more: write {instead} in place of {target}"
        )
    if not is_number and not name.startswith(DEVICE_PREFIX):
        raise UsageError(
            f"a clip is given as video:{name}, got {target!r}; webcam: takes a camera's number, "
            "as in webcam:0"
            if name
            else f"a camera is given by its number, as in webcam:0, got {target!r}"
        )
    return int(name) if is_number else name, read_focal(target, option)


@contextmanager
def open_capture(camera: int | str) -> Iterator[Any]:
    """Open a camera with OpenCV.

    Raises:
        MissingDependencyError: the camera cannot be opened.
    """
    logging = cv2.utils.logging
    level = logging.getLogLevel()
    logging.setLogLevel(logging.LOG_LEVEL_SILENT)  # the error below says it in one sentence
    try:
        capture = (
            cv2.VideoCapture(camera)
            if isinstance(camera, int)
            else cv2.VideoCapture(camera, cv2.CAP_V4L2)
        )
    finally:
        logging.setLogLevel(level)
    try:
        if not capture.isOpened():
            raise MissingDependencyError(
                f"camera {camera} cannot be opened: check that it is connected and not in use"
            )
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest image, not the oldest in a queue
        yield capture
    finally:
        capture.release()


def rate(capture: Any) -> float:
    """Images a second that the driver reports."""
    fps = float(capture.get(cv2.CAP_PROP_FPS))
    return fps if math.isfinite(fps) and 1 <= fps <= 1000 else USUAL_FPS


def camera_images(capture: Any) -> Images:
    """The images of an open camera, as they come.

    The iterator raises MissingDependencyError where the camera delivers no more images.
    """

    def images(stopped: threading.Event) -> Iterator[TimedImage]:
        while not stopped.is_set():
            success, picture = capture.read()
            time = monotonic()
            if not success:
                raise MissingDependencyError(
                    "the camera delivers no more images: check that it is still connected"
                )
            yield TimedImage(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), time)

    return images


@contextmanager
def _open(target: str, selection: Selection) -> Iterator[LiveSource]:
    from .face_motion import open_face_motion  # networks and a head model: only where they serve

    camera, focal = read_target(target)
    with (
        open_capture(camera) as capture,
        open_face_motion(focal) as motion,
        open_images(
            camera_images(capture),
            motion.observe,
            Inbox(),
            rate(capture),
            motion.vocabulary,
            f"camera {camera}",
            lambda: motion.state,
        ) as source,
    ):
        yield source


FORMAT = SourceFormat(
    name="webcam",
    pattern="webcam:0",
    description="a camera of this computer",
    matches=lambda target: target.startswith(PREFIX),
    open=_open,
)
