"""Performance: what the head does at a moment, whether a tracker is sending it or a recording is played."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.camera import Camera
from imavatar_deploy.conventions import EXPRESSION_SIZE, POSE_SIZE
from imavatar_deploy.deprecation import warn_renamed
from imavatar_deploy.errors import ImavatarError
from imavatar_deploy.tracks import FlameFrame

from ..sources import LiveSource, Source
from .motion.pipeline import MotionPipeline

Float = NDArray[np.float32]
Alter = Callable[[Float, Float], tuple[Float, Float]]


class DriverState(NamedTuple):
    """What is to be drawn."""

    expression: Float  # [50]
    pose: Float  # [15]
    captured: float | None
    """When it was seen, on the clock of the ticks; None for a face that nobody has."""
    camera: Camera | None = None
    fresh: bool = True
    """Whether it follows somebody: not what is held, or rests, for want of packets."""


NEUTRAL_STATE = DriverState(
    np.zeros(EXPRESSION_SIZE, dtype=np.float32), np.zeros(POSE_SIZE, dtype=np.float32), None
)
"""The neutral face, which waits for somebody to come."""


FRESH = ("live", "predicted")
"""States of a moment that is somebody's."""


class Driver(Protocol):
    """Something that can be looked at."""

    def pose_at(self, now: float) -> DriverState | None:
        """What is to be drawn at `now`; None when it is over. Time never goes back."""
        ...

    def wait(self, seconds: float) -> None:
        """Somebody paused it: that much time passed without it."""
        ...

    def calibrate(self) -> None:
        """Take the present face as the neutral one."""
        ...


class _DeprecatedLook:
    """Keeps `look`, the name of `pose_at` in version 0.1, until version 0.3."""

    def pose_at(self, now: float | None = None) -> DriverState | None:
        raise NotImplementedError

    def look(self, now: float | None = None) -> DriverState | None:
        """Deprecated name of `pose_at`."""
        warn_renamed(f"{type(self).__name__}.look", "pose_at")
        return self.pose_at(now)


class LiveDriver(_DeprecatedLook):
    """What a tracker sends, made smooth.

    Args:
        refused: for each vocabulary that cannot be shown, why.
    """

    def __init__(
        self,
        source: LiveSource,
        motion: MotionPipeline,
        refused: Mapping[str, ImavatarError],
        notes: Sequence[str] = (),
    ) -> None:
        self.motion = motion
        self.notes = notes
        """What the user should know before it begins."""
        self.refusal = ""
        """Why packets of another head model are not shown, once some have come."""
        self.states: Counter[str] = Counter()
        """How often the face was `live`, and how often `predicted`, `held` or `relaxing`, for want of packets."""
        self.inbox = source.inbox
        self.taken = 0
        """Observations taken out of the inbox, whether or not they can be shown."""
        self._refused = refused

    def pose_at(self, now: float | None = None) -> DriverState | None:
        """See `Driver`; `now` is `time.monotonic()` when left out.

        Raises:
            Exception: what ended the source's thread, if that was an error.
        """
        ended = self.inbox.ended.is_set()
        for arrival in self.inbox.take():
            self.taken += 1
            if error := self._refused.get(arrival.observation.vocabulary):
                self.refusal = str(error)
            self.motion.push(arrival)
        if ended:
            if self.inbox.trouble:
                raise self.inbox.trouble
            return None
        moment = self.motion.at(time.monotonic() if now is None else now)
        if moment is not None:
            self.states[moment.state] += 1
            return DriverState(
                moment.expression, moment.pose, moment.captured, fresh=moment.state in FRESH
            )
        return NEUTRAL_STATE

    def wait(self, seconds: float) -> None:
        """A tracker does not wait."""

    def calibrate(self) -> None:
        """See `Driver`."""
        self.motion.recalibrate()


class TrackDriver(_DeprecatedLook):
    """A recording that keeps its speed: at every moment the newest frame that has begun.

    Args:
        alter: (expression [50], pose [15]) -> the same in the avatar's words, and as the user wants them.
    """

    def __init__(self, source: Source, alter: Alter, notes: Sequence[str] = ()) -> None:
        self._alter = alter
        self.notes = notes
        self._frames: Iterator[FlameFrame] = iter(source.frames)
        self._fps = source.fps
        self._begun: float | None = None
        self._index = -1
        self._shown = NEUTRAL_STATE

    def pose_at(self, now: float | None = None) -> DriverState | None:
        """See `Driver`; `now` is `time.monotonic()` when left out."""
        now = time.monotonic() if now is None else now
        if self._begun is None:
            self._begun = now
        due = int((now - self._begun) * self._fps + 1e-6)
        while self._index < due:
            frame = next(self._frames, None)
            if frame is None:
                return None
            self._index += 1
            begun = self._begun + self._index / self._fps
            self._shown = DriverState(
                *self._alter(frame.expression, frame.pose), begun, frame.camera
            )
        return self._shown

    def wait(self, seconds: float) -> None:
        """See `Driver`."""
        if self._begun is not None:
            self._begun += seconds

    def calibrate(self) -> None:
        """A recording has no neutral face to be found."""
