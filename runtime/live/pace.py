"""Pace: which tick of the output is due. In real time a tick that is already over is left out, never caught up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from imavatar_deploy.errors import UsageError
from imavatar_deploy.tracks.retime import FASTEST


class RealTime:
    """Ticks at `fps` a second by a clock that does not stop; their times never drift from it.

    Args:
        fps: ticks a second.
        clock, sleep: seconds; other ones than the machine's are for tests.

    Raises:
        UsageError: `fps` is not in 0..1000.
    """

    def __init__(
        self, fps: float, *, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        if not isinstance(fps, float | int) or not 0 < fps <= FASTEST:
            raise UsageError(f"frames a second must be more than 0 and at most {FASTEST:.0f}, got {fps}")
        self._fps = fps
        self._clock, self._sleep = clock, sleep
        self.missed = 0
        """Ticks left out because the one before took too long."""

    def ticks(self) -> Iterator[tuple[int, float]]:
        """(number, now) of each tick, as soon as it is due."""
        start, tick = self._clock(), 0
        while True:
            now = self._clock()
            if (wait := start + tick / self._fps - now) > 0:
                self._sleep(wait)
                now = self._clock()
            yield tick, now
            newest = int((self._clock() - start) * self._fps)
            self.missed += max(0, newest - tick - 1)
            tick = max(tick + 1, newest)


class AtOnce:
    """Every tick, as fast as they are asked for; its time is that of the motion, from zero."""

    missed = 0

    def __init__(self, fps: float) -> None:
        self._fps = fps

    def ticks(self) -> Iterator[tuple[int, float]]:
        """(number, seconds since the motion began) of each tick."""
        tick = 0
        while True:
            yield tick, tick / self._fps
            tick += 1
