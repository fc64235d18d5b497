"""imavatar-run: plays a recording or a stream with an avatar into files, windows and pages."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from imavatar_deploy.atomic import ensure_not_input
from imavatar_deploy.c2pa_signing import C2paSigner
from imavatar_deploy.cli.command import closing_lines, progress
from imavatar_deploy.cli.options import (
    DURATION,
    FRAMES_HELP,
    FRAMES_METAVAR,
    GroupedCommand,
    frames_of,
)
from imavatar_deploy.errors import UsageError, excerpt
from imavatar_deploy.progress import tell
from imavatar_deploy.rendering.renderer import COLOURS

from ..live import options as live_options
from ..live.play import PlayConfig, check_budget, play
from ..player import Player
from ..sinks import SINKS, find_sink
from ..sinks.images import FOLDER, in_folder
from ..sinks.programs import refuse_feedback
from ..sources import SOURCES, LiveSource, Selection, open_source
from ..sources.video import clip_of
from .options import avatar_argument, background_of, drawing_options, size_of

SOURCES_HELP = "; ".join(f"{row.pattern} ({row.description})" for row in SOURCES)
SINKS_HELP = "; ".join(f"{row.pattern} ({row.description})" for row in SINKS)


@click.command(
    cls=GroupedCommand,
    groups=(live_options.GROUP,),
    epilog="""\b
Examples:
  imavatar-run sample --source talk --sink talk.mp4 --sink sheet.png
  imavatar-run sample --source talk --sink frames/%05d.png --frames 0:50 --size 256
  imavatar-run sample --source talk --sink overlay.webm --sink edit.mov
  imavatar-run my_avatar --source flame_params.json --sink a.mp4 --sink null --shading pixel
  imavatar-run sample --source livelink://0.0.0.0:11111 --sink http://127.0.0.1:8080
  imavatar-run sample --source webcam:0 --sink http://127.0.0.1:8080
  imavatar-run sample --source webcam:0 --sink osc://:39539 --sink window
  imavatar-run my_avatar --source udp://:9000 --sink window --calibrate 2s --adjust jawOpen=1.3
  imavatar-run sample --source osc://:39539 --sink null --duration 1min --stats --budget 50ms""",
)
@avatar_argument
@click.option("--source", default="talk", show_default=True, help=f"The motion: {SOURCES_HELP}.")
@click.option(
    "--sink", "sinks", multiple=True, required=True, help=f"May be repeated. One of: {SINKS_HELP}."
)
@drawing_options
@click.option(
    "--background",
    default="transparent",
    show_default=True,
    help=f"'#rrggbb', {', '.join(COLOURS)}, or transparent, which is white in .mp4, .avi and .jpg.",
)
@click.option(
    "--fps",
    type=float,
    help="Frames a second to draw; the motion keeps its speed.  [default: a recording's own; live, "
    "the usual rate of its trackers]",
)
@click.option(
    "--recorded-fps",
    type=float,
    help="Frames a second of a recording, where its file does not state them or is wrong.",
)
@click.option(
    "--frames",
    default=":",
    metavar=FRAMES_METAVAR,
    help=f"Only these frames of the motion: {FRAMES_HELP}",
)
@click.option(
    "--camera",
    type=click.Choice(["track", "front"]),
    default="track",
    show_default=True,
    help="Look through the motion's cameras where it has them, or always from the front.",
)
@click.option(
    "--loop",
    is_flag=True,
    help="Begin a recording again at its end, until --duration or until you stop it.",
)
@click.option(
    "--mirror", is_flag=True, help="Swap left and right of the picture, as a mirror does."
)
@click.option(
    "--duration",
    type=DURATION,
    help="End that long after the first frame is ready, such as 30s or 5min.  "
    "[default: when the motion ends]",
)
@click.option(
    "--stats",
    is_flag=True,
    help="Print packets, frames and latency on stderr every second.",
)
@click.option(
    "--no-synthetic-mark",
    "synthetic_mark",
    flag_value=False,
    default=True,
    help="Leave out the machine-readable mark of files and pages: the face is synthetic.",
)
@click.option(
    "--c2pa-sign",
    "certificate",
    nargs=2,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="CERT KEY",
    help="Sign videos and pictures with Content Credentials (C2PA), by your certificate chain and "
    "private key in PEM files; needs the extra c2pa.",
)
@click.option(
    "--overwrite",
    is_flag=True,
    help="Replace videos and pictures that are there; of a longer earlier run, also the "
    "remaining images.",
)
@click.option(
    "--budget",
    type=DURATION,
    help="Exit with code 4 when the 95th percentile of the latency is over it, such as 16.7ms: "
    "from capture to picture in real time, else of drawing a frame. Every frame is then drawn, "
    "also where browsers alone watch.",
)
def run(
    avatar: str,
    source: str,
    sinks: tuple[str, ...],
    size: str,
    shading: str,
    antialias: str,
    threads: int | None,
    backend: str,
    engine_policy: str,
    background: str,
    fps: float | None,
    recorded_fps: float | None,
    frames: str,
    camera: str,
    loop: bool,
    mirror: bool,
    duration: float | None,
    stats: bool,
    synthetic_mark: bool,
    certificate: tuple[Path, Path] | None,
    overwrite: bool,
    budget: float | None,
    **live_values: Any,
) -> None:
    """Play a motion with AVATAR (a folder made by imavatar-export, or the word 'sample').

    A recording is drawn frame by frame into files, as fast as possible; it keeps real time when a
    sink is watched. A tracker's stream always does: its packets are put in order, smoothed and
    shown a frame late, and late packets are left out. Ctrl-C ends a run in real time, and its files
    are kept; of any other run, none is.

    A tracker's stream of which no face was drawn is an error (exit code 6) with every sink, null
    included: nothing was measured that a --budget could be compared with.
    """
    started = time.perf_counter()
    live_config = live_options.GROUP.settings(live_values)
    if duration == 0:
        raise UsageError("--duration must be more than 0; leave it out to play to the end")
    watched = [find_sink(sink).watched for sink in sinks]
    for sink in sinks:
        written = in_folder(sink) if find_sink(sink) is FOLDER else sink
        ensure_not_input(
            written, source, clip_of(source), live_config.map_file, *(certificate or ())
        )
        refuse_feedback(sink, source)
        if certificate:
            C2paSigner.ensure_signs(written)
        if not overwrite:
            _refuse_existing(sink)
    if loop and duration is None and not any(watched):
        raise UsageError(
            "--loop would never end: give a --duration, or a sink to watch, such as window"
        )
    selection = Selection(frames_of(frames), fps, loop, recorded_fps)
    signer = C2paSigner.open(*certificate) if certificate else None
    config = PlayConfig(
        sinks,
        fps,
        duration,
        camera == "track",
        mirror,
        stats,
        synthetic_mark,
        signer,
        overwrite,
        draw_always=budget is not None,
    )
    with ExitStack() as stack:
        motion = stack.enter_context(open_source(source, selection))
        if isinstance(motion, LiveSource) and (loop or frames != ":" or recorded_fps is not None):
            raise UsageError(
                "--frames, --loop and --recorded-fps apply to a recording, and "
                f"{excerpt(source)} is live; use --duration"
            )
        player = stack.enter_context(
            Player(
                avatar,
                size=size_of(size),
                shading=shading,
                background=background_of(background),
                threads=threads,
                backend=backend,
                engine_policy=engine_policy,
                antialias=antialias,
            )
        )
        driver = live_config.open_driver(motion, player.avatar)
        for note in filter(None, (player.backend_note, player.drift_note, *driver.notes)):
            tell(note)
        result = play(player, motion, driver, config, progress)
        neutral_line = live_config.keep(driver)
    shading_line = f"shading: {player.shading}"
    click.echo("\n".join([*result.lines, *filter(None, [neutral_line]), shading_line]))
    click.echo(
        closing_lines([], time.perf_counter() - started, [f"imavatar-bench {avatar} --size {size}"])
    )
    check_budget(result.frames, budget, player.shading)


def _refuse_existing(sink: str) -> None:
    """Refuse a sink that would replace files.

    Raises:
        UsageError: one of its files exists.
    """
    if files := find_sink(sink).existing(sink):
        others = f" and {len(files) - 1} more files" if len(files) > 1 else ""
        raise UsageError(
            f"{files[0]}{others} of an earlier run would be replaced; choose another --sink, or "
            "pass --overwrite"
        )
