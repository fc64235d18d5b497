"""Play a source into sinks: in real time for a stream or a watched sink, else without waiting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

from imavatar_deploy.c2pa_signing import C2paSigner
from imavatar_deploy.errors import BudgetError, InputError, UsageError
from imavatar_deploy.progress import Progress, silent, tell

from ..player import Player
from ..sinks import Sink, Stream, find_sink, open_sink
from ..sinks.images import FOLDER, in_folder, writes_to
from ..sinks.sink import Controls, Image
from ..sources import LiveSource, Source
from .drivers import DriverState, LiveDriver, TrackDriver
from .render_loop import AtOnce, FrameCounts, RealTime, Viewpoint, milliseconds, run_loop, warm_up
from .sink_thread import SinkThread, open_sink_threads
from .statistics import Statistics, reporting


@dataclass(frozen=True)
class PlayConfig:
    """How a source is played."""

    sinks: Sequence[str]
    """`--sink` arguments."""
    fps: float | None = None
    """Images a second in real time; None: as many as the source sends."""
    duration: float | None = None
    """Seconds; None: until the source ends or the user stops it."""
    follow: bool = True
    """Look through the source's cameras where it has them, else through the player's own."""
    mirrored: bool = False
    """Swap left and right of the images."""
    print_statistics: bool = False
    """Print the statistics on stderr every second."""
    synthetic_mark: bool = True
    """Whether outputs carry the machine-readable mark of `imavatar_deploy.marking`."""
    signer: C2paSigner | None = None
    """Signs videos and pictures."""
    overwrite: bool = False
    """Whether a sequence of images also removes those of a longer earlier run."""
    draw_always: bool = False
    """Draw also frames that no sink needs, as to measure the latency of drawing."""

    def stream(
        self,
        player: Player,
        fps: float,
        controls: Controls | None = None,
        statistics: Callable[[], dict[str, Any]] = dict,
    ) -> Stream:
        """The stream of a run with these settings."""
        finish = {"finish": self.signer.sign} if self.signer else {}
        return Stream(
            player.width,
            player.height,
            fps,
            controls or Controls(),
            statistics,
            self.synthetic_mark,
            edition=player.avatar.edition,
            overwrite=self.overwrite,
            folder=player.folder,
            mirrored=self.mirrored,
            **finish,
        )


@dataclass(frozen=True)
class PlayResult:
    """The outcome of a run."""

    lines: list[str]
    """The report of each output, and what the run counted."""
    frames: FrameCounts


def play(
    player: Player,
    source: Source | LiveSource,
    driver: LiveDriver | TrackDriver,
    config: PlayConfig,
    progress: Progress = silent,
) -> PlayResult:
    """Draw the states of `driver`, which follows `source`, into every sink.

    Args:
        progress: reports the frames of a recording that is drawn without waiting.

    Raises:
        UsageError: a sink is unknown or cannot be written.
        InputError: the source broke off, or gave no frame.
            After an error no output is left behind.
    """
    _refuse_shared_targets(config.sinks)
    if isinstance(source, LiveSource) or any(find_sink(sink).watched for sink in config.sinks):
        return _in_real_time(player, source, driver, config)
    return _at_once(player, source, driver, config, progress)


def _at_once(
    player: Player,
    source: Source,
    driver: LiveDriver | TrackDriver,
    config: PlayConfig,
    progress: Progress,
) -> PlayResult:
    """Draw every frame into every sink, waiting for the sinks alone."""
    frames = FrameCounts()
    stream = config.stream(player, source.fps)
    view = Viewpoint(player, stream.controls, config.follow, config.mirrored)
    with ExitStack() as stack:
        sinks = [stack.enter_context(open_sink(sink, stream)) for sink in config.sinks]
        warm_up(player)
        statistics = Statistics(frames, AtOnce(source.fps), driver)
        advance = stack.enter_context(progress("playing", source.count))

        def show(tick: int, image: Image) -> None:
            for sink in sinks:
                sink.write(image)
            advance(1)

        with reporting(statistics, every_second=config.print_statistics):
            run_loop(
                view,
                driver,
                statistics.ticker,
                show,
                frames,
                duration=config.duration,
                send=_sender(sinks, follow=config.follow),
            )
        _require_frames(frames)
    return PlayResult([*_reports(sinks), *statistics.report()], frames)


def _in_real_time(
    player: Player,
    source: Source | LiveSource,
    driver: LiveDriver | TrackDriver,
    config: PlayConfig,
) -> PlayResult:
    """Draw on time what a sink needs: late frames are skipped, and Ctrl-C ends the run as usual."""
    frames = FrameCounts()
    fps = source.fps if config.fps is None else config.fps
    live = source if isinstance(source, LiveSource) else None
    warm_up(player, live.inbox if live else None)
    statistics = Statistics(frames, RealTime(fps), driver, live)
    stream = config.stream(player, fps, Controls(), statistics.snapshot)
    view = Viewpoint(player, stream.controls, config.follow, config.mirrored)
    with open_sink_threads(config.sinks, stream) as threads:
        statistics.sink_threads = threads
        for greeting in [thread.sink.greeting for thread in threads if thread.sink.greeting]:
            tell(greeting)
        statistics.start()

        receivers: list[SinkThread] = []

        def needed() -> bool:
            receivers[:] = [thread for thread in threads if thread.sink.needs_image()]
            return config.draw_always or bool(receivers)

        def show(tick: int, image: Image) -> None:
            for thread in receivers:
                thread.offer(tick, image)

        with (
            reporting(statistics, every_second=config.print_statistics),
            suppress(KeyboardInterrupt),
        ):
            run_loop(
                view,
                driver,
                statistics.ticker,
                show,
                frames,
                duration=config.duration,
                send=_sender([thread.sink for thread in threads], follow=config.follow),
                needed=needed,
            )
        _require_frames(frames)
        if live and frames.faceless == frames.played:
            raise InputError(statistics.faceless_line())
    return PlayResult(
        [*_reports([thread.sink for thread in threads]), *statistics.report()], frames
    )


def _sender(sinks: Sequence[Sink], *, follow: bool) -> Callable[[DriverState], None] | None:
    """Return the function that passes a state to every sink that takes faces, if there is one.

    Args:
        follow: whether the run looks through the motion's cameras.
    """
    receivers = [sink.write_face for sink in sinks if sink.write_face]
    cameras = [sink.write_camera for sink in sinks if follow and sink.write_camera]
    if not receivers:
        return None

    def send(state: DriverState) -> None:
        for write_camera in cameras:
            write_camera(state.camera)
        for receive in receivers:
            receive(state.expression, state.pose)

    return send


def _reports(sinks: Sequence[Sink]) -> list[str]:
    return [line for sink in sinks if (line := sink.report())]


def _require_frames(frames: FrameCounts) -> None:
    if not frames.played:
        raise InputError("the source ended without a single frame, so there is nothing to write")


def _refuse_shared_targets(sinks: Sequence[str]) -> None:
    files = [in_folder(sink) if find_sink(sink) is FOLDER else sink for sink in sinks]
    places = [
        sink if "://" in sink else str(Path(sink).resolve()) for sink in files if sink != "null"
    ]
    if shared := sorted({place for place in places if places.count(place) > 1}):
        raise UsageError(
            f"two sinks would write to {', '.join(shared)}; give each a place of its own"
        )
    for place, other in permutations(places, 2):
        if writes_to(place, other):
            raise UsageError(f"{place} would write to {other}, too; give each a place of its own")


def check_budget(frames: FrameCounts, budget: float | None, shading: str) -> None:
    """Compare the 95th percentile of the latency with a budget in seconds, where there is one.

    Args:
        shading: the row of `shading.SHADINGS` in use; the fastest one is not advised again.

    Raises:
        BudgetError: the percentile is over the budget.
    """
    if budget is not None and (reached := frames.latency.percentile(95)) > budget:
        faster = "" if shading == "student" else " or --shading student"
        raise BudgetError(
            f"p95 is {milliseconds(reached)} and the budget {1e3 * budget:g} ms; try a smaller "
            f"--size{faster}, or, of a tracker's stream, --latency 0"
        )
