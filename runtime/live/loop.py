"""The loop of a run: at every tick look what the head does, draw it, hand it on; it never waits for a sink."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.camera import Camera
from imavatar_deploy.framing import orbited, with_square_pixels

from ..player import Player
from ..sinks.controls import Controls
from ..sources.inbox import Inbox
from .latencies import Latencies
from .pace import AtOnce, RealTime
from .performance import NOBODY, Performance, Shown

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
class View:
    """Where a run is looked at from."""

    player: Player
    controls: Controls
    follow: bool
    """Look through the motion's cameras where it has them."""
    mirrored: bool = False
    """Swap left and right of the picture, as a mirror does."""

    def draw(self, shown: Shown) -> Bytes:
        """[H, W, 4] RGBA of a moment."""
        image = self.player.render(shown.expression, shown.pose, self._camera(shown.camera))
        return np.ascontiguousarray(image[:, ::-1]) if self.mirrored else image

    def _camera(self, tracked: Camera | None) -> Camera:
        player, controls = self.player, self.controls
        square = with_square_pixels(tracked, player.width, player.height) if tracked and self.follow else player.camera
        yaw = -controls.yaw if self.mirrored else controls.yaw  # so that the picture follows the hand
        return orbited(square, yaw=yaw, pitch=controls.pitch, zoom=controls.zoom)


def warm_up(player: Player, inbox: Inbox | None = None) -> None:
    """Draw the first frame, which may compile for seconds, before a run's clock starts.

    Observations that arrive in that time are old: they leave the inbox, counted as `early`.
    """
    player.warm_up()
    if inbox is not None and (old := inbox.take()):
        inbox.count("early", len(old))


def perform(
    view: View,
    performance: Performance,
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
    controls, shown = view.controls, NOBODY
    begun = last = None
    for tick, now in pace.ticks():
        begun, last = now if begun is None else begun, now if last is None else last
        if controls.stopped or (duration is not None and now - begun > duration - EARLY):
            return
        asked = time.monotonic()
        if controls.paused:
            performance.wait(now - last)
        elif (looked := performance.look(now)) is None:
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
            tally.latency.add(time.monotonic() - (shown.captured if isinstance(pace, RealTime) else asked))
