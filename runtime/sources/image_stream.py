"""Live images: a thread reads a camera or a clip, and another tracks the newest image of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import NamedTuple

from imavatar_deploy.arrays import Array, UInt8

from .observation import Inbox, Observation
from .source import LiveSource

JOIN_SECONDS = 5.0
"""Seconds to wait for the end of a thread, which a camera's driver may delay."""


class TimedImage(NamedTuple):
    """An image and the time of its capture."""

    image: UInt8[Array, "H W 3"]  # RGB
    time: float  # seconds, `time.monotonic()`


Images = Callable[[threading.Event], Iterator[TimedImage | None]]
"""Yields images until the end or until the event is set; None stands for an image left out."""

Track = Callable[[UInt8[Array, "H W 3"], float], Observation | str]
"""(image, time) -> the face, or the key of `Inbox.counts` that says why there is none."""


class NewestImage:
    """Room for one image between two threads: a newer one replaces one that is not taken."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._image: TimedImage | None = None
        self._ended = False

    def put(self, image: TimedImage) -> bool:
        """Store an image; return whether it replaced another."""
        with self._changed:
            replaced = self._image is not None
            self._image = image
            self._changed.notify()
        return replaced

    def end(self) -> None:
        """Let `take` return None once the last image is taken."""
        with self._changed:
            self._ended = True
            self._changed.notify()

    def take(self) -> TimedImage | None:
        """Wait for an image and return it; None after the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._image is not None or self._ended)
            image, self._image = self._image, None
            return image


class ImageStream:
    """Two threads between a camera and an inbox. An error that ends one goes to `inbox.error`.

        reader     reads images, as they come or at a clip's own speed, into a `NewestImage`
        tracker    takes the newest image, tracks it and puts the observation into the inbox

    Images that were replaced while the tracker was busy are counted as `skipped`.
    """

    def __init__(self, images: Images, track: Track, inbox: Inbox) -> None:
        self._images = images
        self._track = track
        self._inbox = inbox
        self._newest = NewestImage()
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=work, name=f"imavatar-{name}", daemon=True)
            for name, work in (("camera", self._read), ("face", self._follow))
        ]

    def start(self) -> None:
        """Start both threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End both threads, and wait until they have ended."""
        self._stopped.set()
        self._newest.end()
        for thread in self._threads:
            thread.join(JOIN_SECONDS)

    def _read(self) -> None:
        try:
            for image in self._images(self._stopped):
                if image is None or self._newest.put(image):
                    self._inbox.count("skipped")
        except Exception as error:  # raised again in the render loop
            self._inbox.error = error
        finally:
            self._newest.end()

    def _follow(self) -> None:
        try:
            while (newest := self._newest.take()) and not self._stopped.is_set():
                face = self._track(*newest)
                if isinstance(face, str):
                    self._inbox.count(face)
                else:
                    self._inbox.put(face)
        except Exception as error:  # raised again in the render loop
            self._inbox.error = error
        finally:
            self._stopped.set()
            self._inbox.ended.set()


@contextmanager
def open_images(
    images: Images,
    track: Track,
    inbox: Inbox,
    fps: float,
    vocabulary: str,
    name: str,
    face: Callable[[], str] | None = None,
) -> Iterator[LiveSource]:
    """Track images in threads of their own until the context ends.

    Args:
        images: the images of a camera or a clip.
        track: finds the face in an image.
        inbox: receives the observations.
        fps: images a second.
        vocabulary: of the observations.
        name: of the camera or the clip, for the user.
        face: returns what is known of the face, for the user.
    """
    stream = ImageStream(images, track, inbox)
    stream.start()
    try:
        yield LiveSource(inbox, fps, vocabulary, name, local_clock=True, face=face)
    finally:
        stream.stop()


def until(time: float, stopped: threading.Event) -> bool:
    """Wait until `time.monotonic()` is `time`; return False at once where `stopped` is set."""
    return not stopped.wait(max(0.0, time - monotonic()))
