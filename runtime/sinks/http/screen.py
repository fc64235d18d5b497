"""Screen: the newest frame for any number of viewers, encoded once, and only if somebody looks."""

from __future__ import annotations

import threading
from typing import Any

import cv2

from imavatar_deploy.errors import InternalError

from ..ground import over, white
from ..sink import Bytes, Stream

QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 90]


class Screen:
    """What `show` was given last; who looks waits here for the next."""

    def __init__(self, stream: Stream) -> None:
        self._ground = white(stream)
        self._changed = threading.Condition()
        self._image: Bytes | None = None
        self._number = 0
        self._encoding = threading.Lock()
        self._encoded = (0, b"")
        self.closed = False

    def show(self, image: Bytes) -> None:
        """Replace the frame; nobody is waited for."""
        with self._changed:
            self._image, self._number = image, self._number + 1
            self._changed.notify_all()

    def close(self) -> None:
        """Nothing will come any more: everybody who waits is told."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    def next_jpeg(self, after: int, patience: float) -> tuple[int, bytes] | None:
        """The number and the JPEG of the newest frame, once it is newer than `after`; white where it is transparent.

        None when the screen was closed, or no frame came in `patience` seconds.
        """
        with self._changed:
            self._changed.wait_for(lambda: self.closed or self._number > after, patience)
            if self.closed or self._number <= after:
                return None
        with self._encoding:  # the others wait for the first, and then have its work
            with self._changed:
                number, image = self._number, self._image
            if number > self._encoded[0] and image is not None:
                self._encoded = number, _encode(".jpg", cv2.cvtColor(over(image, self._ground), cv2.COLOR_RGB2BGR))
            return self._encoded

    def png(self) -> bytes | None:
        """The newest frame as a PNG with its transparency; None before the first."""
        with self._changed:
            image = self._image
        return None if image is None else _encode(".png", cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA))


def _encode(suffix: str, image: Any) -> bytes:
    done, data = cv2.imencode(suffix, image, QUALITY if suffix == ".jpg" else [])
    if not done:
        raise InternalError(f"a frame {image.shape} could not be encoded as {suffix}")
    return bytes(data)
