"""ByteCache: keeps what was decoded last, up to so many bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from .pixels import Pixels

BUDGET = 1 << 30
"""Bytes: about 1,200 frames of a full synthetic set at 256 pixels, 3,000 of images, masks and labels."""


class ByteCache:
    """Least recently used goes first; safe to share between threads."""

    def __init__(self, budget: int = BUDGET) -> None:
        self._budget = budget
        self._held: OrderedDict[int, Pixels] = OrderedDict()
        self._lock = Lock()
        self.bytes = 0

    def get(self, key: int, load: Callable[[], Pixels]) -> Pixels:
        """What is held for `key`, or what `load` returns, which is then held."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
        pixels = load()  # outside the lock: decoding is what takes time
        with self._lock:
            if key not in self._held:
                self._held[key] = pixels
                self.bytes += pixels.bytes
            while self.bytes > self._budget:
                self.bytes -= self._held.popitem(last=False)[1].bytes
        return pixels
