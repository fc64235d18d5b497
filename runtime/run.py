"""imavatar-run: plays a motion with an avatar into videos, images or nothing at all."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import click

from imavatar_deploy.camera import Camera
from imavatar_deploy.console import Command, closing_lines, progress
from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.framing import with_square_pixels
from imavatar_deploy.tracks import FlameFrame, check_edition
from imavatar_deploy.tracks.frame_range import frames_of

from .composite import COLOURS
from .options import avatar_argument, background_of, drawing_options, size_of
from .player import Player
from .sinks import SINKS, Stream, find_sink, open_sink
from .sources import SOURCES, Selection, Source, open_source

SOURCES_HELP = "; ".join(f"{row.pattern} ({row.description})" for row in SOURCES)
SINKS_HELP = "; ".join(f"{row.pattern} ({row.description})" for row in SINKS)


def play(player: Player, source: Source, sinks: Sequence[str], *, follow: bool = True) -> tuple[list[str], int]:
    """Draw every frame of `source` into every sink; returns a line about each output, and the number of frames.

    Args:
        sinks: `--sink` arguments.
        follow: look through the source's cameras where it has them, else through the player's own.

    Raises:
        UsageError: a sink is unknown or cannot be written.
        InputError: the source broke off, or gave no frame.
            After an error no output is left behind.
    """
    _refuse_twins(sinks)
    stream = Stream(player.width, player.height, source.fps)
    count = 0
    with ExitStack() as stack:
        opened = [stack.enter_context(open_sink(sink, stream)) for sink in sinks]
        advance = stack.enter_context(progress("playing", source.count))
        for frame in source.frames:
            image = player.render(frame.expression, frame.pose, _camera(frame, player) if follow else None)
            for sink in opened:
                sink.write(image)
            count += 1
            advance(1)
        if not count:
            raise InputError("the source ended without a single frame, so there is nothing to write")
    return [line for sink in opened if (line := sink.report())], count


def _refuse_twins(sinks: Sequence[str]) -> None:
    files = [Path(sink).resolve() for sink in sinks if sink != "null"]
    if len(set(files)) < len(files):
        raise UsageError(f"two sinks write the same file: {', '.join(sinks)}; give each its own name")


def _camera(frame: FlameFrame, player: Player) -> Camera | None:
    """Cameras of motions belong to square images."""
    return frame.camera and with_square_pixels(frame.camera, player.width, player.height)


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  imavatar-run sample --source talk --sink talk.mp4 --sink sheet.png
  imavatar-run sample --source talk --sink frames/%05d.png --frames 0:50 --size 256
  imavatar-run my_avatar --source flame_params.json --sink a.mp4 --sink null --shading pixel""",
)
@avatar_argument
@click.option("--source", default="talk", show_default=True, help=f"The motion: {SOURCES_HELP}.")
@click.option("--sink", "sinks", multiple=True, required=True, help=f"May be repeated. One of: {SINKS_HELP}.")
@drawing_options
@click.option(
    "--background",
    default="transparent",
    show_default=True,
    help=f"'#rrggbb', {', '.join(COLOURS)}, or transparent, which in a video is white.",
)
@click.option("--fps", type=float, help="Frames a second to draw; the motion keeps its speed.  [default: the motion's]")
@click.option("--frames", default=":", metavar="A:B:S", help="Only these frames of the motion, as a Python slice.")
@click.option(
    "--camera",
    type=click.Choice(["track", "front"]),
    default="track",
    show_default=True,
    help="Look through the motion's cameras where it has them, or always from the front.",
)
@click.option("--any-edition", is_flag=True, help="Play a motion made for another head model all the same.")
def run(
    avatar: str,
    source: str,
    sinks: tuple[str, ...],
    size: str,
    shading: str,
    threads: int | None,
    backend: str,
    engine_policy: str,
    background: str,
    fps: float | None,
    frames: str,
    camera: str,
    any_edition: bool,
) -> None:
    """Play a motion with AVATAR (a folder made by imavatar-export, or the word 'sample')."""
    started = time.perf_counter()
    for sink in sinks:
        find_sink(sink)
    selection = Selection(frames_of(frames), fps)
    with ExitStack() as stack:
        motion = stack.enter_context(open_source(source, selection))
        player = stack.enter_context(
            Player(
                avatar,
                size=size_of(size),
                shading=shading,
                background=background_of(background),
                threads=threads,
                backend=backend,
                engine_policy=engine_policy,
            )
        )
        for note in filter(None, (player.backend_note, player.drift_note)):
            click.echo(note, err=True)
        if not any_edition:
            check_edition(motion.edition, player.avatar.edition)
        ready = time.perf_counter()
        lines, count = play(player, motion, sinks, follow=camera == "track")
    rate = count / (time.perf_counter() - ready)
    click.echo("\n".join([*lines, f"drew {count} frames at {rate:.1f} a second, shading: {player.shading}"]))
    click.echo(closing_lines([], time.perf_counter() - started, [f"imavatar-bench {avatar} --size {size}"]))
