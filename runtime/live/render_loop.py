"""The loop of a run: at every tick look what the head does, draw it, hand it on; it never waits for a sink."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.camera import Camera, orbited, with_square_pixels
from imavatar_deploy.errors import UsageError
from imavatar_deploy.tracks.edit import FASTEST

from ..player import Player
from ..sinks.sink import Controls
from ..sources.observation import Inbox
from ..timing import PERCENTILES
from .drivers import NEUTRAL_STATE, Driver, DriverState

# Pace: which tick of the output is due. In real time a tick that is already over is left out, never caught up.


class RealTime:
    """Ticks at `fps` a second by a clock that does not stop; their times never drift from it.

    Args:
        fps: ticks a second.
        clock, sleep: seconds; other ones than the machine's are for tests.

    Raises:
        UsageError: `fps` is not in 0..1000.
    """

    def __init__(
        self,
        fps: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not isinstance(fps, float | int) or not 0 < fps <= FASTEST:
            raise UsageError(
                f"frames a second must be more than 0 and at most {FASTEST:.0f}, got {fps}"
            )
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


# Latencies: percentiles of any number of durations in a memory that does not grow.


BIN = 1e-4
"""Seconds: what percentiles are rounded up to."""

BINS = 50_000
"""Up to five seconds; what takes longer is counted as longer."""


class Latencies:
    """A histogram of durations."""

    def __init__(self) -> None:
        self._bins = np.zeros(BINS + 1, dtype=np.int64)

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self._bins[min(max(int(seconds / BIN), 0), BINS)] += 1

    def __len__(self) -> int:
        return int(self._bins.sum())

    def percentile(self, q: float) -> float:
        """Seconds below which `q` percent of the durations lie; 0 where there are none.

        Infinite where that is beyond the bins.
        """
        if not len(self):
            return 0.0
        rank = max(1, int(np.ceil(q / 100 * len(self))))
        place = int(np.searchsorted(np.cumsum(self._bins), rank))
        return (place + 1) * BIN if place < BINS else math.inf

    def __str__(self) -> str:
        if not len(self):
            return "-"
        return ", ".join(f"p{q} {milliseconds(self.percentile(q))}" for q in PERCENTILES)


def milliseconds(seconds: float) -> str:
    """`16.7 ms`; a duration beyond the bins is `over 5000 ms`."""
    return f"{1e3 * seconds:.1f} ms" if seconds < math.inf else f"over {1e3 * BIN * BINS:.0f} ms"


Bytes = NDArray[np.uint8]

EARLY = 1e-6
"""Seconds: rounding must not add a frame to a duration."""


@dataclass
class Tally:
    """What a run has done so far."""

    drawn: int = 0
    faceless: int = 0
    """Frames drawn before anybody's face came."""
    waiting: int = 0
    """Frames drawn while nothing came, of a face held or at rest; they have no latency."""
    latency: Latencies = field(default_factory=Latencies)
    """In real time from capture to the finished picture, else of drawing alone."""


@dataclass(frozen=True)
class Viewpoint:
    """Where a run is looked at from."""

    player: Player
    controls: Controls
    follow: bool
    """Look through the motion's cameras where it has them."""
    mirrored: bool = False
    """Swap left and right of the picture, as a mirror does."""

    def draw(self, shown: DriverState) -> Bytes:
        """[H, W, 4] RGBA of a moment."""
        image = self.player.render(shown.expression, shown.pose, self._camera(shown.camera))
        return np.ascontiguousarray(image[:, ::-1]) if self.mirrored else image

    def _camera(self, tracked: Camera | None) -> Camera:
        player, controls = self.player, self.controls
        square = (
            with_square_pixels(tracked, player.width, player.height)
            if tracked and self.follow
            else player.camera
        )
        yaw = (
            -controls.yaw if self.mirrored else controls.yaw
        )  # so that the picture follows the hand
        return orbited(square, yaw=yaw, pitch=controls.pitch, zoom=controls.zoom)


def warm_up(player: Player, inbox: Inbox | None = None) -> None:
    """Draw the first frame, which may compile for seconds, before a run's clock starts.

    Observations that arrive in that time are old: they leave the inbox, counted as `early`.
    """
    player.warm_up()
    if inbox is not None and (old := inbox.take()):
        inbox.count("early", len(old))


def perform(
    view: Viewpoint,
    performance: Driver,
    pace: RealTime | AtOnce,
    show: Callable[[int, Bytes], None],
    tally: Tally,
    *,
    duration: float | None = None,
) -> None:
    """Play until the performance is over, `duration` seconds of it have passed, or somebody stops it.

    Args:
        show: takes the number of a tick and its picture, and must not wait.
        tally: is kept up to date, for those who watch.
    """
    controls, shown = view.controls, NEUTRAL_STATE
    begun = last = None
    for tick, now in pace.ticks():
        begun, last = now if begun is None else begun, now if last is None else last
        if controls.stopped or (duration is not None and now - begun > duration - EARLY):
            return
        asked = time.monotonic()
        if controls.paused:
            performance.wait(now - last)
        elif (looked := performance.pose_at(now)) is None:
            return
        else:
            shown = looked
        last = now
        if controls.recalibrate:
            performance.calibrate()
            controls.recalibrate = False
        show(tick, view.draw(shown))
        tally.drawn += 1
        tally.faceless += shown.captured is None
        tally.waiting += not shown.fresh
        if shown.captured is not None and shown.fresh and not controls.paused:
            tally.latency.add(
                time.monotonic() - (shown.captured if isinstance(pace, RealTime) else asked)
            )
