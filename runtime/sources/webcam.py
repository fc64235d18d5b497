"""Webcam: a camera of this computer, `webcam:0?model=face_landmarker.task`, or a video clip."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, NamedTuple

import cv2

from imavatar_deploy.errors import InputError, MissingDependencyError, UsageError
from imavatar_deploy.retarget.arkit import ARKIT

from .face_landmarker import FaceDetector, Picture, open_landmarker
from .observation import Inbox
from .source import LiveSource, Selection, SourceFormat

PREFIX = "webcam:"
MODEL_VARIABLE = "IMAVATAR_FACE_MODEL"
"""Environment variable with the path of the model, for targets without one."""

USUAL_FPS = 30.0
"""Rate of cameras that do not report theirs."""

MOST_DIGITS = 3
"""Digits of a camera's number; a longer number is a file."""

JOIN_SECONDS = 5.0
"""Seconds to wait for the end of the thread, which a camera's driver may delay."""


class WebcamAddress(NamedTuple):
    """The parts of a `webcam:` argument."""

    camera: int | str
    """A camera's number, or the path of a clip."""
    model: str


def clip_of(target: str) -> str | None:
    """The path, or the camera's number, in a `webcam:` argument; None for other sources."""
    return target.removeprefix(PREFIX).partition("?")[0] if target.startswith(PREFIX) else None


def read_target(target: str) -> WebcamAddress:
    """Split a `--source` argument into its parts.

    Raises:
        UsageError: it has another option than a model, or no model is known.
    """
    camera, _, option = target.removeprefix(PREFIX).partition("?")
    name, _, model = option.partition("=")
    if name not in ("", "model") or not camera:
        raise UsageError(
            f"a camera must be given as webcam:0?model=face_landmarker.task, got {target!r}"
        )
    model = model or os.environ.get(MODEL_VARIABLE, "")
    if not model:
        raise UsageError(
            f"{target} needs MediaPipe's face model: give "
            f"webcam:{camera}?model=face_landmarker.task with the path of your file, or set "
            f"{MODEL_VARIABLE} to it; no model is downloaded"
        )
    return WebcamAddress(
        int(camera) if camera.isdecimal() and len(camera) <= MOST_DIGITS else camera, model
    )


@contextmanager
def open_capture(camera: int | str) -> Iterator[Any]:
    """Open a camera or a clip with OpenCV.

    Raises:
        MissingDependencyError: the camera cannot be opened.
        InputError: there is no such clip, or it is not a video.
    """
    capture = cv2.VideoCapture(camera)
    try:
        if not capture.isOpened():
            if isinstance(camera, int):
                raise MissingDependencyError(
                    f"camera {camera} cannot be opened: check that it is connected and not in use"
                )
            raise InputError(f"{camera} is neither a camera's number nor a video that can be read")
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest image, not the oldest in a queue
        yield capture
    finally:
        capture.release()


def rate(capture: Any) -> float:
    """Images a second that the driver or the file reports."""
    fps = float(capture.get(cv2.CAP_PROP_FPS))
    return fps if math.isfinite(fps) and 1 <= fps <= 1000 else USUAL_FPS


def pictures(
    capture: Any, is_clip: bool, stopped: threading.Event
) -> Iterator[tuple[Picture, float]]:
    """Images and their times in seconds until the end or `stopped`; a clip's at its own rate.

    Raises:
        MissingDependencyError: the camera delivers no more images.
    """
    started = monotonic()
    interval = 1 / rate(capture)
    index = 0
    while not stopped.is_set():
        success, picture = capture.read()
        if not success and is_clip:
            return
        if not success:
            raise MissingDependencyError(
                "the camera delivers no more images: check that it is still connected"
            )
        time = index * interval if is_clip else monotonic()
        if is_clip and stopped.wait(max(0.0, started + time - monotonic())):
            return
        yield picture, time
        index += 1


def watch(
    capture: Any, is_clip: bool, detect: FaceDetector, inbox: Inbox, stopped: threading.Event
) -> None:
    """Put the faces of all images into the inbox; an error goes to `inbox.error`."""
    try:
        for picture, time in pictures(capture, is_clip, stopped):
            observation = detect(picture, time)
            if observation is None:
                inbox.count("empty")
            else:
                inbox.put(observation)
    except Exception as error:  # raised again in the render loop
        inbox.error = error
    finally:
        inbox.ended.set()


@contextmanager
def _open(target: str, selection: Selection) -> Iterator[LiveSource]:
    camera, model = read_target(target)
    inbox = Inbox()
    stopped = threading.Event()
    is_clip = isinstance(camera, str)
    with open_landmarker(model) as detect, open_capture(camera) as capture:
        thread = threading.Thread(
            target=watch,
            args=(capture, is_clip, detect, inbox, stopped),
            name="imavatar-webcam",
            daemon=True,
        )
        thread.start()
        try:
            yield LiveSource(
                inbox, rate(capture), ARKIT, str(camera) if is_clip else f"camera {camera}"
            )
        finally:
            stopped.set()
            thread.join(JOIN_SECONDS)


FORMAT = SourceFormat(
    name="webcam",
    pattern="webcam:0?model=face_landmarker.task",
    description="a camera (or a clip), through MediaPipe and a model file of yours",
    matches=lambda target: target.startswith(PREFIX),
    open=_open,
)
