"""Performance: what the head does at a moment, whether a tracker is sending it or a recording is played."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.camera import Camera
from imavatar_deploy.conventions import EXPRESSION_SIZE, POSE_SIZE
from imavatar_deploy.tracks import FlameFrame

from ..sources import LiveSource, Source

if TYPE_CHECKING:
    from .motion.motion import Motion

Float = NDArray[np.float32]


class Shown(NamedTuple):
    """What is to be drawn."""

    expression: Float  # [50]
    pose: Float  # [15]
    captured: float | None
    """When it was seen, on the clock of the ticks; None for a face that nobody has."""
    camera: Camera | None = None


NOBODY = Shown(np.zeros(EXPRESSION_SIZE, dtype=np.float32), np.zeros(POSE_SIZE, dtype=np.float32), None)
"""The neutral face, which waits for somebody to come."""


class Performance(Protocol):
    """Something that can be looked at."""

    def look(self, now: float) -> Shown | None:
        """What is to be drawn at `now`; None when it is over. Time never goes back."""
        ...

    def wait(self, seconds: float) -> None:
        """Somebody paused it: that much time passed without it."""
        ...

    def calibrate(self) -> None:
        """Take the present face as the neutral one."""
        ...


class Streamed:
    """What a tracker sends, made smooth."""

    def __init__(self, source: LiveSource, motion: Motion) -> None:
        self._inbox, self._motion = source.inbox, motion

    def look(self, now: float) -> Shown | None:
        """See `Performance`.

        Raises:
            Exception: what ended the source's thread, if that was an error.
        """
        ended = self._inbox.ended.is_set()
        for arrival in self._inbox.take():
            self._motion.push(arrival)
        if ended:
            if self._inbox.trouble:
                raise self._inbox.trouble
            return None
        moment = self._motion.at(now)
        return NOBODY if moment is None else Shown(moment.expression, moment.pose, moment.captured)

    def wait(self, seconds: float) -> None:
        """A tracker does not wait."""

    def calibrate(self) -> None:
        """See `Performance`."""
        self._motion.recalibrate()


class Recorded:
    """A recording that keeps its speed: at every moment the newest frame that has begun."""

    def __init__(self, source: Source) -> None:
        self._frames: Iterator[FlameFrame] = iter(source.frames)
        self._fps = source.fps
        self._begun: float | None = None
        self._index = -1
        self._shown = NOBODY

    def look(self, now: float) -> Shown | None:
        """See `Performance`."""
        if self._begun is None:
            self._begun = now
        due = int((now - self._begun) * self._fps + 1e-6)
        while self._index < due:
            frame = next(self._frames, None)
            if frame is None:
                return None
            self._index += 1
            begun = self._begun + self._index / self._fps
            self._shown = Shown(frame.expression, frame.pose, begun, frame.camera)
        return self._shown

    def wait(self, seconds: float) -> None:
        """See `Performance`."""
        if self._begun is not None:
            self._begun += seconds

    def calibrate(self) -> None:
        """A recording has no neutral face to be found."""
