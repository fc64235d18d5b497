"""Play a source into sinks: in real time where somebody sends or watches, else every frame as fast as it is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from imavatar_deploy.errors import BudgetError, InputError, UsageError
from imavatar_deploy.progress import Progress, silent, tell

from ..player import Player
from ..sinks import Sink, Stream, find_sink, open_sink
from ..sinks.sink import Controls
from ..sources import LiveSource, Source
from .drivers import LiveDriver, TrackDriver
from .render_loop import AtOnce, Bytes, RealTime, Tally, Viewpoint, milliseconds, perform, warm_up
from .sink_thread import open_outlets
from .statistics import Statistics, told


@dataclass(frozen=True)
class PlayConfig:
    """How a source is to be played."""

    sinks: Sequence[str]
    """`--sink` arguments."""
    fps: float | None = None
    """Pictures a second in real time; None: as many as the source sends."""
    duration: float | None = None
    """Seconds; None: until the source ends or somebody stops it."""
    follow: bool = True
    """Look through the source's cameras where it has them, else through the player's own."""
    mirrored: bool = False
    told: bool = False
    """Say on stderr every second how it goes."""


@dataclass(frozen=True)
class PlayResult:
    """What became of it."""

    lines: list[str]
    """What each output says of itself, and what the run counted."""
    tally: Tally


def play(
    player: Player,
    source: Source | LiveSource,
    performance: LiveDriver | TrackDriver,
    programme: PlayConfig,
    progress: Progress = silent,
) -> PlayResult:
    """Draw what `performance` makes of `source` into every sink.

    Args:
        progress: reports the frames of a recording that is drawn as fast as it goes.

    Raises:
        UsageError: a sink is unknown or cannot be written.
        InputError: the source broke off, or gave no frame.
            After an error no output is left behind.
    """
    _refuse_twins(programme.sinks)
    if isinstance(source, LiveSource) or any(find_sink(sink).watched for sink in programme.sinks):
        return _in_real_time(player, source, performance, programme)
    return _at_once(player, source, performance, programme, progress)


def _at_once(
    player: Player,
    source: Source,
    performance: LiveDriver | TrackDriver,
    programme: PlayConfig,
    progress: Progress,
) -> PlayResult:
    """Nobody waits: every frame into every sink, as fast as it goes."""
    tally, stream = Tally(), Stream(player.width, player.height, source.fps)
    view = Viewpoint(player, stream.controls, programme.follow, programme.mirrored)
    with ExitStack() as stack:
        sinks = [stack.enter_context(open_sink(sink, stream)) for sink in programme.sinks]
        warm_up(player)
        statistics = Statistics(tally, AtOnce(source.fps), performance)
        advance = stack.enter_context(progress("playing", source.count))

        def show(tick: int, image: Bytes) -> None:
            for sink in sinks:
                sink.write(image)
            advance(1)

        with told(statistics, regularly=programme.told):
            perform(view, performance, statistics.pace, show, tally, duration=programme.duration)
        _refuse_nothing(tally)
    return PlayResult([*_reports(sinks), *statistics.report()], tally)


def _in_real_time(
    player: Player,
    source: Source | LiveSource,
    performance: LiveDriver | TrackDriver,
    programme: PlayConfig,
) -> PlayResult:
    """Somebody sends or watches: what is late is left out, and Ctrl-C is the usual end."""
    tally, fps = Tally(), source.fps if programme.fps is None else programme.fps
    live = source if isinstance(source, LiveSource) else None
    warm_up(player, live.inbox if live else None)
    statistics = Statistics(tally, RealTime(fps), performance, live)
    stream = Stream(player.width, player.height, fps, Controls(), statistics.snapshot)
    view = Viewpoint(player, stream.controls, programme.follow, programme.mirrored)
    with open_outlets(programme.sinks, stream) as outlets:
        statistics.outlets = outlets
        for greeting in [outlet.sink.greeting for outlet in outlets if outlet.sink.greeting]:
            tell(greeting)
        statistics.start()

        def show(tick: int, image: Bytes) -> None:
            for outlet in outlets:
                outlet.offer(tick, image)

        with told(statistics, regularly=programme.told), suppress(KeyboardInterrupt):
            perform(view, performance, statistics.pace, show, tally, duration=programme.duration)
        _refuse_nothing(tally)
        if live and tally.faceless == tally.drawn:
            raise InputError(statistics.faceless_line())
    return PlayResult([*_reports([outlet.sink for outlet in outlets]), *statistics.report()], tally)


def _reports(sinks: Sequence[Sink]) -> list[str]:
    return [line for sink in sinks if (line := sink.report())]


def _refuse_nothing(tally: Tally) -> None:
    if not tally.drawn:
        raise InputError("the source ended without a single frame, so there is nothing to write")


def _refuse_twins(sinks: Sequence[str]) -> None:
    places = [
        sink if "://" in sink else str(Path(sink).resolve()) for sink in sinks if sink != "null"
    ]
    if twins := sorted({place for place in places if places.count(place) > 1}):
        raise UsageError(
            f"two sinks would write to {', '.join(twins)}; give each a place of its own"
        )


def check_budget(tally: Tally, budget: float | None) -> None:
    """Hold the 95th percentile of the latency against a budget in seconds, where there is one.

    Raises:
        BudgetError: it is over.
    """
    if budget is not None and (reached := tally.latency.percentile(95)) > budget:
        raise BudgetError(
            f"p95 is {milliseconds(reached)} and the budget {1e3 * budget:g} ms; try a smaller --size or --shading "
            "student, or, of a tracker's stream, --latency 0"
        )
