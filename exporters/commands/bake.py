"""imavatar-bake: write a motion of an avatar as files for other programs, without torch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import click

from imavatar_deploy.atomic import ensure_not_input
from imavatar_deploy.cli.command import Command, closing_lines, rows_help, shown_progress
from imavatar_deploy.cli.options import FRAMES_HELP, FRAMES_METAVAR, frames_of
from imavatar_deploy.errors import UsageError

from ..sequences.bake import bake_sequences
from ..sequences.format import SequenceFormat
from ..sequences.formats import FORMATS, ready_formats
from ..sequences.ray_cluster import ray_executor
from ..sequences.workers import FrameExecutor, thread_executor


@click.command(
    cls=Command,
    interrupted="continue with --resume",
    epilog="""\b
Examples:
  imavatar-bake sample --track talk --format obj --out frames
  imavatar-bake avatar --track flame_params.json --format pc2,ply --out baked --fps 30
  imavatar-bake avatar --track flame_params.json --format ply --colour --out baked --resume""",
)
@click.argument("avatar")
@click.option(
    "--track",
    default="talk",
    show_default=True,
    help="The motion: a track's file or folder, or 'talk'.",
)
@click.option("--format", "formats", required=True, help=f"Comma-separated. {rows_help(FORMATS)}.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder to write.")
@click.option(
    "--frames",
    default=":",
    metavar=FRAMES_METAVAR,
    help=f"Only these frames of the track: {FRAMES_HELP}",
)
@click.option(
    "--fps",
    type=float,
    help="Frames a second to bake; the motion keeps its speed.  [default: the track's]",
)
@click.option(
    "--colour/--no-colour",
    default=None,
    help="--colour: the colour of every vertex in every frame, by the full texture network. "
    "--no-colour: no colours.  [default: the colours of the neutral face]",
)
@click.option("--jobs", type=click.IntRange(min=1), help="Cores to use.  [default: all]")
@click.option(
    "--ray",
    metavar="ADDRESS|auto",
    help="Distribute the work over a Ray cluster whose machines share the folder --out.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Continue an interrupted bake.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing bake.")
@click.option(
    "--any-edition", is_flag=True, help="Accept a motion that was made for another head model."
)
@click.option(
    "--no-synthetic-mark",
    "synthetic_mark",
    flag_value=False,
    default=True,
    help="Leave out the machine-readable mark of files: the face is synthetic.",
)
def bake(
    avatar: str,
    track: str,
    formats: str,
    out: Path,
    frames: str,
    fps: float | None,
    colour: bool | None,
    jobs: int | None,
    ray: str | None,
    resume: bool,
    overwrite: bool,
    any_edition: bool,
    synthetic_mark: bool,
) -> None:
    """Play a motion with AVATAR and write it as files.

    AVATAR is a folder made by imavatar-export, or the word 'sample'. Everything is in metres,
    +Y up, facing +Z.
    """
    started = time.perf_counter()
    ensure_not_input(out, avatar, track)
    names = [name.strip() for name in formats.split(",")]
    if colour:
        _report_formats_without_colours(ready_formats(names))
    progress, _ = shown_progress()
    report = bake_sequences(
        avatar,
        track,
        out,
        names,
        frames=frames_of(frames),
        fps=fps,
        colour=colour,
        executor=_executor(jobs, ray),
        resume=resume,
        overwrite=overwrite,
        any_edition=any_edition,
        synthetic_mark=synthetic_mark,
        progress=progress,
        say=lambda note: click.echo(note, err=True),
    )
    rate = "" if resume else f", baked {report.frames / report.seconds:.1f} a second"
    click.echo(
        f"{report.frames} frames of {report.vertices} vertices at {report.fps:g} a second{rate}"
    )
    next_commands = [f"imavatar-run {avatar} --source {track} --sink preview.mp4"]
    click.echo(closing_lines(report.files, time.perf_counter() - started, next_commands))


def _executor(jobs: int | None, ray: str | None) -> FrameExecutor:
    if ray is None:
        return thread_executor(jobs)
    if jobs is not None:
        raise UsageError(
            "--jobs is for the cores of this machine and --ray for those of a cluster; "
            "give one of them"
        )
    return ray_executor(ray)


def _report_formats_without_colours(rows: Sequence[SequenceFormat]) -> None:
    grey = [row.name for row in rows if not (row.carries_colours or row.own_colours)]
    if grey:
        able = ", ".join(row.name for row in FORMATS.values() if row.carries_colours)
        click.echo(
            f"written without colours, which the format cannot hold: {', '.join(grey)}; {able} can",
            err=True,
        )
