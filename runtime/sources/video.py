"""Video clip as a live source, `video:clip.mp4`: at its own speed, tracked as a camera's images."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

from imavatar_deploy.errors import UsageError

from .image_options import read_focal, split_options
from .image_stream import Images, TimedImage, open_images, until
from .observation import Inbox
from .source import LiveSource, Selection, SourceFormat

if TYPE_CHECKING:
    from imavatar_deploy.video.decode import VideoReader

PREFIX = "video:"

LATE_SECONDS = 0.1
"""Seconds behind its time from which an image is left out without being converted."""

WAIT_SECONDS = 0.1
"""Seconds between two looks whether the clip is closed before it begins."""


def clip_of(target: str) -> str | None:
    """The path in a `video:` argument; None for other sources."""
    return split_options(target.removeprefix(PREFIX))[0] if target.startswith(PREFIX) else None


def clip_images(reader: VideoReader, inbox: Inbox) -> Images:
    """The frames of a clip at its own speed, from the first time that the inbox is emptied.

    A run empties it once its first frame is drawn, which may compile for seconds.
    """

    def images(stopped: threading.Event) -> Iterator[TimedImage | None]:
        while not inbox.awaited.wait(WAIT_SECONDS):
            if stopped.is_set():
                return
        start = monotonic()
        for frame in reader.frames():
            time = start + frame.time
            if not until(time, stopped):
                return
            late = monotonic() - time > LATE_SECONDS
            yield None if late or frame.damaged else TimedImage(frame.image(), time)

    return images


@contextmanager
def _open(target: str, selection: Selection) -> Iterator[LiveSource]:
    from imavatar_deploy.video.decode import VideoReader

    from .face_motion import open_face_motion  # networks and a head model: only where they serve

    path, option = split_options(target.removeprefix(PREFIX))
    if not path:
        raise UsageError(f"a clip is given by its path, as in video:clip.mp4, got {target!r}")
    focal = read_focal(target, option)
    inbox = Inbox()
    with VideoReader(path) as reader, open_face_motion(focal or focal_of(reader)) as motion:
        images = clip_images(reader, inbox)
        fps = min(max(reader.info.fps, 1.0), 1000.0)
        with open_images(
            images, motion.observe, inbox, fps, motion.vocabulary, path, lambda: motion.state
        ) as source:
            yield source


def focal_of(reader: VideoReader) -> float | None:
    """Focal length in pixels that a clip states; None where it states none."""
    from imavatar_deploy.video.metadata import focal_in_pixels

    info = reader.info
    if info.focal_35mm is None:
        return None
    return focal_in_pixels(info.focal_35mm, info.width, info.height)


FORMAT = SourceFormat(
    name="video",
    pattern="video:clip.mp4",
    description="the face in a clip, at the clip's own speed",
    matches=lambda target: target.startswith(PREFIX),
    open=_open,
)
