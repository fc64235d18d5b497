"""Screen: the newest frame as JPEG and PNG for any number of viewers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import cv2

from imavatar_deploy.errors import InternalError
from imavatar_deploy.marking import marked_jpeg, marked_png

from ..backgrounds import over, white
from ..sink import Image, Stream

JPEG_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 90]

Numbered = tuple[int, bytes]
"""Number of a frame, and its JPEG."""


class Screen:
    """The newest frame for any number of viewers, encoded once, and only on request.

    `show`, `needs_image` and `close` may be called from every thread, all else from the event loop
    of `attach`. While no client waits for pictures, frames need no image, and the newest one
    becomes out of date: the next client waits for a newer frame.
    """

    def __init__(self, stream: Stream) -> None:
        self._background = white(stream)
        self._synthetic_mark = stream.synthetic_mark
        self._newest: tuple[int, Image | None] = (0, None)
        self._shown = time.monotonic()
        self._clients = 0
        self._is_stale = False
        self._undrawn = 0
        self._encoded: Numbered = (0, b"")
        self._encoding: asyncio.Task[Numbered] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed: asyncio.Event | None = None
        self.closed = False

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Serve viewers in an event loop."""
        self._loop = loop
        self._changed = asyncio.Event()

    @property
    def number(self) -> int:
        """Number of the newest frame; 0 before the first."""
        return self._newest[0]

    @property
    def frames(self) -> int:
        """Number of frames so far, with and without an image."""
        return self.number + self._undrawn

    @property
    def silence(self) -> float:
        """Seconds since the newest frame, with or without an image, or since the beginning."""
        return time.monotonic() - self._shown

    def show(self, image: Image) -> None:
        """Replace the frame, without waiting for viewers."""
        self._newest = self._newest[0] + 1, image
        self._is_stale = False
        self._shown = time.monotonic()
        self._wake()

    def needs_image(self) -> bool:
        """Return whether a client waits for pictures; where none does, count a frame without."""
        if self._clients:
            return True
        self._undrawn += 1
        self._is_stale = True
        self._shown = time.monotonic()
        return False

    @contextmanager
    def client(self) -> Iterator[int]:
        """Need images during a `with` block.

        Yields:
            A number: frames with a greater one are up to date. It is that of the newest frame where
            the run has gone on without drawing, else one less.
        """
        self._clients += 1
        try:
            yield self.number if self._is_stale else self.number - 1
        finally:
            self._clients -= 1

    def close(self) -> None:
        """End the stream, and wake all waiting viewers."""
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake_viewers)

    def _wake_viewers(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = asyncio.Event()

    async def next_jpeg(self, after: int, patience: float) -> Numbered | None:
        """Wait for a frame newer than number `after`; return its number and JPEG.

        Transparency becomes white. None when the screen was closed, or no frame came in `patience`
        seconds.
        """
        try:
            await asyncio.wait_for(self._newer(max(after, 0)), patience)
        except asyncio.TimeoutError:
            return None
        if self.closed:
            return None
        if self._encoded[0] < self.number:
            if self._encoding is None:  # the first viewer encodes, the others wait for its result
                self._encoding = asyncio.ensure_future(self._encode_newest())
            return await asyncio.shield(self._encoding)
        return self._encoded

    async def _newer(self, after: int) -> None:
        while not self.closed and self.number <= after:
            assert self._changed is not None
            await self._changed.wait()

    async def _encode_newest(self) -> Numbered:
        number, image = self._newest
        try:
            jpeg = await asyncio.to_thread(self._jpeg, image)
            self._encoded = number, jpeg
            return self._encoded
        finally:
            self._encoding = None

    def _jpeg(self, image: Image | None) -> bytes:
        assert image is not None, "a frame has been shown"
        opaque = over(image, self._background)
        jpeg = _encode(".jpg", cv2.cvtColor(opaque, cv2.COLOR_RGB2BGR))
        return marked_jpeg(jpeg) if self._synthetic_mark else jpeg

    async def png(self, after: int, patience: float) -> bytes | None:
        """Wait for a frame newer than number `after`; return its PNG, with transparency.

        None where no such frame came in `patience` seconds, and, if `after` is negative, where
        there is no frame yet.
        """
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._newer(after), patience)
        number, image = self._newest
        return (
            None if image is None or number <= after else await asyncio.to_thread(self._png, image)
        )

    def _png(self, image: Image) -> bytes:
        png = _encode(".png", cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA))
        return marked_png(png) if self._synthetic_mark else png


def _encode(suffix: str, image: Any) -> bytes:
    success, data = cv2.imencode(suffix, image, JPEG_QUALITY if suffix == ".jpg" else [])
    if not success:
        raise InternalError(f"a frame {image.shape} could not be encoded as {suffix}")
    return bytes(data)
