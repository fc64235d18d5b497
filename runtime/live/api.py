"""The Python API of live motion: `listen` for the caller's loop, `run_live` for a callback."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.deprecation import warn_renamed
from imavatar_deploy.errors import UsageError
from imavatar_deploy.tracks import FlameTrack

from ..player import Player
from ..sinks.sink import Controls, Image
from ..sources import LiveSource, Selection, Source, open_source
from ..sources.observation import Inbox
from ..sources.track import source_of
from .config import LiveConfig
from .drivers import LiveDriver, TrackDriver
from .render_loop import FrameCounts, RealTime, Viewpoint, run_loop, warm_up

OWN_FPS = 60.0
"""Rate assumed for an `Inbox` of the caller until its observations show their own."""


def listen(
    source: str | Path | FlameTrack | Inbox,
    avatar: Avatar,
    config: LiveConfig | None = None,
    *,
    choices: LiveConfig | None = None,
) -> AbstractContextManager[LiveDriver | TrackDriver]:
    """Open a source and yield the driver of an avatar. Call its `pose_at()` for each frame.

        with Player("sample") as player:
            player.warm_up()  # compile before packets arrive
            with listen("livelink://0.0.0.0:11111", player.avatar) as tracker:
                while (face := tracker.pose_at()) is not None:
                    image = player.render(face.expression, face.pose)

    `pose_at` never waits. It returns the neutral face until the first observation arrives, and None
    when the source has ended.

    Args:
        source: an argument of `imavatar-run --source`, a track, or an `Inbox` that a thread of the
            caller fills by `put`.
        avatar: the player's.
        config: latency, smoothing, maps and so on, as the command's options.
        choices: deprecated name of `config`.

    Raises:
        UsageError: no such source, an argument of another type, or an option out of range.
        InputError: the source cannot be read, or is of another head model.
        MissingDependencyError: the source needs a package or device that is not there.
    """
    config = _config_of("listen", config, choices)
    if not isinstance(avatar, Avatar):
        raise UsageError(
            f"avatar must be an Avatar, as player.avatar is, got {type(avatar).__name__}"
        )
    return _listen(source, avatar, config)


@contextmanager
def _listen(
    source: str | Path | FlameTrack | Inbox, avatar: Avatar, config: LiveConfig
) -> Iterator[LiveDriver | TrackDriver]:
    with _opened(source) as opened:
        yield config.open_driver(opened, avatar)


def _config_of(function: str, config: LiveConfig | None, choices: LiveConfig | None) -> LiveConfig:
    """Return the configuration of a call, which may use the deprecated name.

    Raises:
        UsageError: both names are used, or the value is no `LiveConfig`.
    """
    if choices is not None:
        # The warning points at the caller of `function`.
        warn_renamed(f"{function}(choices=...)", f"{function}(config=...)", stacklevel=4)
        if config is not None:
            raise UsageError("config and its old name choices are both given; leave out choices")
        config = choices
    if config is None:
        return LiveConfig()
    if not isinstance(config, LiveConfig):
        raise UsageError(f"config must be a LiveConfig, got {type(config).__name__}")
    return config


def _opened(
    source: str | Path | FlameTrack | Inbox,
) -> AbstractContextManager[Source | LiveSource]:
    """Open a source of `listen`.

    Raises:
        UsageError: `source` is of another type.
    """
    if isinstance(source, Inbox):
        return nullcontext(LiveSource(source, OWN_FPS, None, "an inbox"))
    if isinstance(source, FlameTrack):
        return nullcontext(source_of(source, Selection()))
    if isinstance(source, str | Path):
        return open_source(source)
    raise UsageError(
        f"source must be a str, a Path, a FlameTrack or an Inbox, got {type(source).__name__}"
    )


def run_live(
    avatar: str | Path,
    source: str | Path | FlameTrack | Inbox,
    show: Callable[[Image], Any],
    *,
    fps: float = OWN_FPS,
    duration: float | None = None,
    config: LiveConfig | None = None,
    choices: LiveConfig | None = None,
    **drawing: Any,
) -> FrameCounts:
    """Draw an avatar in real time and call `show(image)` with every `[H, W, 4]` RGBA image.

        run_live("sample", "udp://:9000", my_window.show, fps=60)

    The run ends when `show` returns False, at the end of the source, after `duration`, or by
    Ctrl-C.

    Args:
        avatar, drawing: those of `Player`.
        source, config, choices: those of `listen`.
        show: receives each image.
        fps: images a second; one that is late is skipped.
        duration: seconds from the first frame; None: no limit.

    Returns:
        The number of frames, and the latency from capture to image, `show` not included.

    Raises:
        ImavatarError: as `Player` and `listen`.
    """
    config = _config_of("run_live", config, choices)
    if not callable(show):
        raise UsageError(f"show must be a function of an image, got {type(show).__name__}")
    if duration is not None and not isinstance(duration, float | int):
        raise UsageError(f"duration must be a number of seconds, got {duration!r}")
    if duration is not None and not 0 < duration < math.inf:
        raise UsageError(f"a duration must be more than 0 seconds, got {duration}")
    controls = Controls()
    frames = FrameCounts()
    ticker = RealTime(fps)

    def show_tick(tick: int, image: Image) -> None:
        controls.stopped = show(image) is False

    with (
        Player(avatar, **drawing) as player,
        listen(source, player.avatar, config) as driver,
        suppress(KeyboardInterrupt),
    ):
        warm_up(player, driver.inbox if isinstance(driver, LiveDriver) else None)
        view = Viewpoint(player, controls, follow=True)
        run_loop(view, driver, ticker, show_tick, frames, duration=duration)
    return frames
