"""From a program of one's own: `listen` for a loop that asks for the face at any moment, `run_live` for a callback."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.errors import UsageError

from ..player import Player
from ..sinks.sink import Controls
from ..sources import LiveSource, open_source
from ..sources.observation import Inbox
from .config import LiveConfig
from .drivers import LiveDriver, TrackDriver
from .render_loop import Bytes, RealTime, Tally, Viewpoint, perform, warm_up

OWN_FPS = 60.0
"""What an inbox of the caller's own is taken to be filled at, until it shows."""


@contextmanager
def listen(
    source: str | Path | Inbox, avatar: Avatar, choices: LiveConfig | None = None
) -> Iterator[LiveDriver | TrackDriver]:
    """What drives an avatar: ask it for the face by `pose_at()`, as often as you draw.

        with Player("sample") as player:
            player.warm_up()  # compile before the tracker is listened to
            with listen("livelink://0.0.0.0:11111", player.avatar) as tracker:
                while (face := tracker.pose_at()) is not None:
                    image = player.render(face.expression, face.pose)

    `look` never waits. It gives the neutral face until somebody comes, and None when the source is over.

    Args:
        source: what `imavatar-run --source` takes, or an `Inbox` that a thread of yours fills by `put`.
        avatar: the player's.
        choices: latency, smoothing, maps and so on, as the command's options.

    Raises:
        UsageError: no such source, or a choice that does not exist.
        InputError: it cannot be read, or speaks of another head model.
        MissingDependencyError: it needs a package or device that is not there.
    """
    chosen = choices or LiveConfig()
    if isinstance(source, Inbox):
        yield chosen.open_driver(LiveSource(source, OWN_FPS, None, "an inbox"), avatar)
        return
    with open_source(str(source)) as opened:
        yield chosen.open_driver(opened, avatar)


def run_live(
    avatar: str | Path,
    source: str | Path | Inbox,
    show: Callable[[Bytes], Any],
    *,
    fps: float = OWN_FPS,
    duration: float | None = None,
    choices: LiveConfig | None = None,
    **drawing: Any,
) -> Tally:
    """Draw an avatar in real time and call `show(image)` with every picture `[H, W, 4]` RGBA; False from it ends it.

        run_live("sample", "udp://:9000", my_window.show, fps=60)

    Args:
        avatar, drawing: those of `Player`.
        source, choices: those of `listen`.
        fps: pictures a second; one that is late is left out.
        duration: seconds, counted once the first frame is drawn; None: until the source is over,
            `show` says so, or Ctrl-C.

    Returns:
        How many were drawn, and the latency from capture to picture, `show` not included.

    Raises:
        ImavatarError: as `Player` and `listen`.
    """
    if duration is not None and not 0 < duration < math.inf:
        raise UsageError(f"a duration must be more than 0 seconds, got {duration}")
    controls, tally, pace = Controls(), Tally(), RealTime(fps)

    def shown(tick: int, image: Bytes) -> None:
        controls.stopped = show(image) is False

    with (
        Player(avatar, **drawing) as player,
        listen(source, player.avatar, choices) as tracker,
        suppress(KeyboardInterrupt),
    ):
        warm_up(player, tracker.inbox if isinstance(tracker, LiveDriver) else None)
        perform(
            Viewpoint(player, controls, follow=True), tracker, pace, shown, tally, duration=duration
        )
    return tally
