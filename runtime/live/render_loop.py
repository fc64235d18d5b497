"""The render loop: on every tick take the state of a driver, draw it and pass it to the sinks."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from imavatar_deploy.camera import Camera, orbited, with_square_pixels
from imavatar_deploy.errors import UsageError
from imavatar_deploy.tracks.edit import FASTEST

from ..player import Player
from ..sinks.sink import Controls, Image, always
from ..sources.observation import Inbox
from ..timing import PERCENTILES
from .drivers import NEUTRAL_STATE, Driver, DriverState

# Tickers: which frame of the output is due. In real time, a tick that is over is skipped for good


class RealTime:
    """Ticks at `fps` a second by a monotonic clock; their times do not drift from it.

    Args:
        fps: ticks a second.
        clock, sleep: replace the machine's in tests; seconds.

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
        if not isinstance(fps, float | int):
            raise UsageError(f"fps must be a number of frames a second, got {fps!r}")
        if not 0 < fps <= FASTEST:
            raise UsageError(
                f"frames a second must be more than 0 and at most {FASTEST:.0f}, got {fps}"
            )
        self._fps = fps
        self._clock = clock
        self._sleep = sleep
        self.missed = 0
        """Ticks skipped because the one before took too long."""

    def ticks(self) -> Iterator[tuple[int, float]]:
        """(number, now) of each tick, as soon as it is due."""
        start = self._clock()
        tick = 0
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
    """Every tick, without waiting; its time is that of the motion, from zero."""

    missed = 0

    def __init__(self, fps: float) -> None:
        self._fps = fps

    def ticks(self) -> Iterator[tuple[int, float]]:
        """(number, seconds since the motion began) of each tick."""
        tick = 0
        while True:
            yield tick, tick / self._fps
            tick += 1


# Latencies: percentiles of any number of durations in constant memory

BIN_SECONDS = 1e-4
"""Width of a bin, seconds; percentiles are rounded up to it."""

BIN_COUNT = 50_000
"""Number of bins, up to five seconds; the last one counts longer durations."""


class Latencies:
    """A histogram of durations."""

    def __init__(self) -> None:
        self._bins = np.zeros(BIN_COUNT + 1, dtype=np.int64)

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self._bins[min(max(int(seconds / BIN_SECONDS), 0), BIN_COUNT)] += 1

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
        return (place + 1) * BIN_SECONDS if place < BIN_COUNT else math.inf

    def __str__(self) -> str:
        if not len(self):
            return "-"
        return ", ".join(f"p{q} {milliseconds(self.percentile(q))}" for q in PERCENTILES)


def milliseconds(seconds: float) -> str:
    """`16.7 ms`; a duration beyond the bins is `over 5000 ms`."""
    return (
        f"{1e3 * seconds:.1f} ms"
        if seconds < math.inf
        else f"over {1e3 * BIN_SECONDS * BIN_COUNT:.0f} ms"
    )


# Drawing

DURATION_TOLERANCE = 1e-6
"""Seconds of tolerance, so that rounding does not add a frame to a duration."""


@dataclass
class FrameCounts:
    """Frames of a run so far, and their latencies."""

    drawn: int = 0
    faceless: int = 0
    """Frames before the first face arrived, drawn or not."""
    waiting: int = 0
    """Frames of a face that is held or relaxing in a dropout; they have no latency."""
    latency: Latencies = field(default_factory=Latencies)
    """In real time from capture to the finished image, else of drawing alone; of drawn frames."""
    undrawn: int = 0
    """Frames whose image no sink needed."""
    sent: int = 0
    """Frames, drawn or not, whose face was sent to a sink."""

    @property
    def played(self) -> int:
        """All frames, drawn or not."""
        return self.drawn + self.undrawn


@dataclass(frozen=True)
class Viewpoint:
    """A player, and the camera through which a run is drawn."""

    player: Player
    controls: Controls
    follow: bool
    """Look through the motion's cameras where it has them."""
    mirrored: bool = False
    """Swap left and right of the image, as a mirror does."""

    def draw(self, state: DriverState) -> Image:
        """`[H, W, 4]` RGBA image of a state."""
        image = self.player.render(state.expression, state.pose, self._camera(state.camera))
        return np.ascontiguousarray(image[:, ::-1]) if self.mirrored else image

    def _camera(self, tracked: Camera | None) -> Camera:
        player = self.player
        controls = self.controls
        square = (
            with_square_pixels(tracked, player.width, player.height)
            if tracked and self.follow
            else player.camera
        )
        # mirrored, so that the image follows the hand
        yaw = -controls.yaw if self.mirrored else controls.yaw
        return orbited(square, yaw=yaw, pitch=controls.pitch, zoom=controls.zoom)


def warm_up(player: Player, inbox: Inbox | None = None) -> None:
    """Draw the first frame, which may compile for seconds, before a run's clock starts.

    Observations that arrive in that time are old: they leave the inbox, counted as `early`.
    """
    player.warm_up()
    if inbox is not None and (old := inbox.take()):
        inbox.count("early", len(old))


def run_loop(
    view: Viewpoint,
    driver: Driver,
    ticker: RealTime | AtOnce,
    show: Callable[[int, Image], None],
    frames: FrameCounts,
    *,
    duration: float | None = None,
    send: Callable[[DriverState], None] | None = None,
    needed: Callable[[], bool] = always,
) -> None:
    """Send and draw a driver's states.

    It ends with the driver, when `duration` seconds have passed, or when the user stops it.

    One tick:

        stopped, or over the duration    return
        paused                           the driver skips the time of the tick; the last state stays
        else                             take the driver's state; return when it has ended
        calibration requested            pass it to the driver
        always                           send the state and count it
        an image is needed               draw the state and show the image

    The latency of a frame counts only where it is drawn, its face follows the source and nothing is
    paused.

    Args:
        show: receives the number of a tick and its image, and must not wait.
        frames: updated on every tick.
        send: receives the state of each tick that shows a face, and must not wait.
        needed: returns whether the image of a tick is needed, and must not wait.
    """
    controls = view.controls
    state = NEUTRAL_STATE
    start: float | None = None
    last = 0.0
    for tick, now in ticker.ticks():
        if start is None:
            start = last = now
        if controls.stopped or (
            duration is not None and now - start > duration - DURATION_TOLERANCE
        ):
            return
        before = time.monotonic()
        if controls.paused:
            driver.wait(now - last)
        elif (new := driver.pose_at(now)) is None:
            return
        else:
            state = new
        last = now
        if controls.recalibrate:
            driver.calibrate()
            controls.recalibrate = False
        if send is not None and state.captured is not None:
            send(state)
            frames.sent += 1
        frames.faceless += state.captured is None
        frames.waiting += not state.fresh
        if not needed():
            frames.undrawn += 1
            continue
        show(tick, view.draw(state))
        frames.drawn += 1
        if state.captured is not None and state.fresh and not controls.paused:
            begun = state.captured if isinstance(ticker, RealTime) else before
            frames.latency.add(time.monotonic() - begun)
