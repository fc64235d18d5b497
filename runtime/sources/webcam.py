"""A camera on this computer, or a clip in its place: `webcam:0?model=face_landmarker.task`, `webcam:clip.mp4`."""

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

from .face_landmarker import Bytes, Look, open_landmarker
from .observation import Inbox
from .source import LiveSource, Selection, SourceFormat

PREFIX = "webcam:"
MODEL_VARIABLE = "IMAVATAR_FACE_MODEL"
"""Where the model is when the target does not say."""

USUAL_FPS = 30.0
"""Of cameras that do not say."""

MOST_DIGITS = 3
"""Of a camera's number; what is longer can only be a file."""

LONGEST_END = 5.0
"""Seconds for which the end of the thread is awaited; a camera's driver may hold it."""


class WebcamAddress(NamedTuple):
    """What a `webcam:` argument says."""

    camera: int | str
    """A camera's number, or the path of a clip."""
    model: str


def clip_of(target: str) -> str | None:
    """The path of the clip in a `--source` argument; None where it is none of a camera."""
    return target.removeprefix(PREFIX).partition("?")[0] if target.startswith(PREFIX) else None


def read_target(target: str) -> WebcamAddress:
    """Take a `--source` argument apart.

    Raises:
        UsageError: it says something else than a model, or no model is known.
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
            f"{target} needs MediaPipe's face model: give webcam:{camera}?model=face_landmarker.task, a file that you "
            f"have, or name it in {MODEL_VARIABLE}; none is fetched"
        )
    return WebcamAddress(
        int(camera) if camera.isdecimal() and len(camera) <= MOST_DIGITS else camera, model
    )


@contextmanager
def open_capture(camera: int | str) -> Iterator[Any]:
    """Open a camera or a clip with OpenCV.

    Raises:
        MissingDependencyError: no such camera.
        InputError: no such clip, or it is not a video.
    """
    capture = cv2.VideoCapture(camera)
    try:
        if not capture.isOpened():
            if isinstance(camera, int):
                raise MissingDependencyError(
                    f"camera {camera} cannot be opened: is it there, and free?"
                )
            raise InputError(f"{camera} is neither a camera's number nor a video that can be read")
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest picture, not the oldest that waits
        yield capture
    finally:
        capture.release()


def rate(capture: Any) -> float:
    """Pictures a second, as far as the driver or the file knows."""
    fps = float(capture.get(cv2.CAP_PROP_FPS))
    return fps if math.isfinite(fps) and 1 <= fps <= 1000 else USUAL_FPS


def pictures(
    capture: Any, is_clip: bool, stopped: threading.Event
) -> Iterator[tuple[Bytes, float]]:
    """Pictures and their times in seconds until the end or `stopped`: a camera's as they come, a clip's at its rate.

    Raises:
        MissingDependencyError: the camera gives no more.
    """
    started, spacing, index = monotonic(), 1 / rate(capture), 0
    while not stopped.is_set():
        found, picture = capture.read()
        if not found and is_clip:
            return
        if not found:
            raise MissingDependencyError("the camera gives no more pictures: was it pulled out?")
        time = index * spacing if is_clip else monotonic()
        if is_clip and stopped.wait(max(0.0, started + time - monotonic())):
            return
        yield picture, time
        index += 1


def watch(capture: Any, is_clip: bool, look: Look, inbox: Inbox, stopped: threading.Event) -> None:
    """Put the faces of all pictures into the inbox; what goes wrong is left there, too."""
    try:
        for picture, time in pictures(capture, is_clip, stopped):
            observation = look(picture, time)
            if observation is None:
                inbox.count("empty")
            else:
                inbox.put(observation)
    except Exception as error:  # the thread's, told by whoever takes from the inbox
        inbox.error = error
    finally:
        inbox.ended.set()


@contextmanager
def _open(target: str, selection: Selection) -> Iterator[LiveSource]:
    camera, model = read_target(target)
    inbox, stopped, is_clip = Inbox(), threading.Event(), isinstance(camera, str)
    with open_landmarker(model) as look, open_capture(camera) as capture:
        thread = threading.Thread(
            target=watch,
            args=(capture, is_clip, look, inbox, stopped),
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
            thread.join(LONGEST_END)


FORMAT = SourceFormat(
    name="webcam",
    pattern="webcam:0?model=face_landmarker.task",
    description="a camera (or a clip), through MediaPipe and a model file that you have",
    matches=lambda target: target.startswith(PREFIX),
    open=_open,
)
