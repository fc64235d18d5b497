"""Drivers: the expression and pose to draw at any time, from a stream or from a recording."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.camera import Camera
from imavatar_deploy.conventions import EXPRESSION_SIZE, POSE_SIZE
from imavatar_deploy.deprecation import warn_renamed
from imavatar_deploy.errors import ImavatarError
from imavatar_deploy.tracks import FlameFrame

from ..sources import LiveSource, Source
from .motion.pipeline import MotionPipeline

Alter = Callable[
    [Float32[Array, " n"], Float32[Array, "15"]], tuple[Float32[Array, "50"], Float32[Array, "15"]]
]
"""(expression `[n]`, pose `[15]`) of a recording -> (expression `[50]`, pose `[15]`) of the
avatar."""


class DriverState(NamedTuple):
    """What to draw."""

    expression: Float32[Array, "50"]
    pose: Float32[Array, "15"]  # axis-angle, radians
    captured: float | None
    """Time of capture on the clock of the ticks; None for the neutral face before the first one."""
    camera: Camera | None = None
    fresh: bool = True
    """Whether it follows the source; False where the face is held or relaxing in a dropout."""


NEUTRAL_STATE = DriverState(
    np.zeros(EXPRESSION_SIZE, dtype=np.float32), np.zeros(POSE_SIZE, dtype=np.float32), None
)
"""The neutral face, shown until the first observation arrives."""


FRESH_STATES = ("live", "predicted")
"""States of a `MotionSample` that follow the source."""


class Driver(Protocol):
    """The source of the states that the render loop draws."""

    def pose_at(self, now: float) -> DriverState | None:
        """Return what to draw at `now`, which never decreases; None when the source has ended."""
        ...

    def wait(self, seconds: float) -> None:
        """Skip that much time, during which the user paused."""
        ...

    def calibrate(self) -> None:
        """Make the present face the neutral one."""
        ...


class _DeprecatedLook(ABC):
    """Keeps `look`, the name of `pose_at` in version 0.1, until version 0.3."""

    @abstractmethod
    def pose_at(self, now: float | None = None) -> DriverState | None:
        """Return what to draw at `now`; None when the source has ended."""

    def look(self, now: float | None = None) -> DriverState | None:
        """Deprecated name of `pose_at`."""
        warn_renamed(f"{type(self).__name__}.look", "pose_at")
        return self.pose_at(now)


class LiveDriver(_DeprecatedLook):
    """The smooth motion of a tracker's stream.

    Args:
        source: the open stream.
        motion: the pipeline that its observations go through.
        unsupported: for each vocabulary that cannot be shown, the error with the reason.
        notes: lines for the user before the run.
    """

    def __init__(
        self,
        source: LiveSource,
        motion: MotionPipeline,
        unsupported: Mapping[str, ImavatarError],
        notes: Sequence[str] = (),
    ) -> None:
        self.motion = motion
        self.notes = notes
        """Lines for the user before the run."""
        self.refusal = ""
        """Why packets of another head model are not shown, once some have come."""
        self.states: Counter[str] = Counter()
        """Number of faces in each state: `live`, `predicted`, `held` or `relaxing`."""
        self.inbox = source.inbox
        self.taken = 0
        """Observations taken out of the inbox, whether or not they can be shown."""
        self._unsupported = unsupported

    def pose_at(self, now: float | None = None) -> DriverState | None:
        """Return what to draw at `now` (`time.monotonic()` when left out); None at the end.

        Raises:
            Exception: the error that ended the source's thread.
        """
        ended = self.inbox.ended.is_set()
        for arrival in self.inbox.take():
            self.taken += 1
            if error := self._unsupported.get(arrival.observation.vocabulary):
                self.refusal = str(error)
            self.motion.push(arrival)
        if ended:
            if self.inbox.error:
                raise self.inbox.error
            return None
        sample = self.motion.at(time.monotonic() if now is None else now)
        if sample is None:
            return NEUTRAL_STATE
        self.states[sample.state] += 1
        return DriverState(
            sample.expression, sample.pose, sample.captured, fresh=sample.state in FRESH_STATES
        )

    def wait(self, seconds: float) -> None:
        """Do nothing: a tracker cannot be paused."""

    def calibrate(self) -> None:
        """Make the face of the next seconds the neutral one."""
        self.motion.recalibrate()


class TrackDriver(_DeprecatedLook):
    """A recording at its own speed: at every time the newest frame that has begun.

    Args:
        source: the open recording.
        alter: converts (expression `[n]`, pose `[15]`) of a frame to those of the avatar.
        notes: lines for the user before the run.
    """

    def __init__(self, source: Source, alter: Alter, notes: Sequence[str] = ()) -> None:
        self._alter = alter
        self.notes = notes
        """Lines for the user before the run."""
        self._frames: Iterator[FlameFrame] = iter(source.frames)
        self._fps = source.fps
        self._start: float | None = None
        self._index = -1
        self._state = NEUTRAL_STATE

    def pose_at(self, now: float | None = None) -> DriverState | None:
        """Return what to draw at `now` (`time.monotonic()` when left out); None at the end."""
        now = time.monotonic() if now is None else now
        if self._start is None:
            self._start = now
        due = int((now - self._start) * self._fps + 1e-6)
        while self._index < due:
            frame = next(self._frames, None)
            if frame is None:
                return None
            self._index += 1
            begun = self._start + self._index / self._fps
            self._state = DriverState(
                *self._alter(frame.expression, frame.pose), begun, frame.camera
            )
        return self._state

    def wait(self, seconds: float) -> None:
        """Move the recording's start by the seconds of a pause."""
        if self._start is not None:
            self._start += seconds

    def calibrate(self) -> None:
        """Do nothing: a recording is played as it is."""
