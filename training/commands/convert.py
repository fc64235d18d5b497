"""`imavatar-data convert`: convert a tracker's files to a track, or to the files of another."""

from __future__ import annotations

import shlex
import time
from dataclasses import replace
from pathlib import Path

import click
import numpy as np

from imavatar_deploy.atomic import ensure_not_input
from imavatar_deploy.cli.command import Command, closing_lines
from imavatar_deploy.cli.options import FRAMES_HELP, FRAMES_METAVAR, frames_of
from imavatar_deploy.conventions import EDITIONS, JAW
from imavatar_deploy.errors import UsageError
from imavatar_deploy.head_model import OPENHEAD, HeadModel
from imavatar_deploy.kinematics import product, quaternions
from imavatar_deploy.tracks import TRACK_FORMATS, FlameTrack, read_track, write_track
from imavatar_deploy.tracks.edit import recorded_at, retimed, root_joints, with_head_turned
from imavatar_deploy.tracks.formats import files_read, unread_names

from ..retargeting.recordings import retarget_track

INPUT_FORMATS = "\n".join(
    f"  {row.name:<20}{'a folder, ' if row.folders is not None else ''}{' '.join(row.suffixes)}"
    for row in TRACK_FORMATS.values()
)
OUTPUT_FORMATS = "\n".join(
    f"  {row.name:<20}{' '.join(row.suffixes)}" for row in TRACK_FORMATS.values() if row.write
)
ROOT_JOINT_NOTE = (
    "the head turns about OpenHead's root joint; --head-model FILE with FLAME's own keeps the "
    "picture exact"
)


@click.command(
    cls=Command,
    short_help="Turn a tracker's files into a track, or into another tracker's.",
    epilog=f"""\b
Reads:
{INPUT_FORMATS}
Writes, by the suffix of OUT:
{OUTPUT_FORMATS}

\b
Examples:
  imavatar-data convert output/me/checkpoint flame_params.json
  imavatar-data convert output/me me.json --turn-head --head-model generic_model.pkl
  imavatar-data convert tracked_flame_params_30.npz me.json --fps 30 --frames 100:400
  imavatar-data convert codes.pkl me.npz --edition flame2019""",
)
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--edition",
    metavar="|".join(EDITIONS),
    help="Head model of the codes, where IN does not name it.",
)
@click.option(
    "--recorded-fps", type=float, help="Frames a second of IN, where it does not state them."
)
@click.option(
    "--fps",
    type=float,
    help="Frames a second to write; the motion keeps its speed.  [default: those of IN]",
)
@click.option(
    "--frames", default=":", metavar=FRAMES_METAVAR, help=f"Only these frames of IN: {FRAMES_HELP}"
)
@click.option(
    "--cameras/--no-cameras", default=True, help="Keep the cameras, where IN and OUT have them."
)
@click.option(
    "--turn-head",
    is_flag=True,
    help="For a camera that moves around a still head: move the head instead.",
)
@click.option(
    "--map",
    "map_file",
    metavar="FILE",
    help="Map to the codes of another head model, from fit-map --codes; or the word sparse: head, "
    "neck, jaw and eyes alone, which every head model has.",
)
@click.option(
    "--head-model",
    "head",
    help="With --turn-head: FLAME file with the joint about which the head turns.",
)
def convert(
    source: Path,
    out: Path,
    edition: str | None,
    recorded_fps: float | None,
    fps: float | None,
    frames: str,
    cameras: bool,
    turn_head: bool,
    map_file: str | None,
    head: str | None,
) -> None:
    """Read the track IN of any known format and write it as OUT.

    Fields that a track does not hold (expressions beyond 50, eyelid shapes, the camera of a crop)
    are left out, with a note. Codes stay those of their head model unless --map converts them to
    another's.
    """
    start = time.perf_counter()
    if head and not turn_head:
        raise UsageError(
            "--head-model is only used with --turn-head: add it, or leave the head model out"
        )
    ensure_not_input(out, source, *files_read(source), map_file, head)
    track = read_track(source, edition=edition)
    track = recorded_at(track, recorded_fps).select(frames_of(frames))
    if unread := unread_names(source):
        click.echo(f"note: a track does not hold {', '.join(unread)}: left out", err=True)
    for note in track.notes:
        click.echo(f"note: {note}", err=True)
    if turn_head:
        track = _turn_head(track, head)
    if map_file is not None:
        known = len(track.notes)
        track = retarget_track(track, map_file)
        for note in track.notes[known:]:
            click.echo(f"note: {note}", err=True)
    if fps is not None:
        track = retimed(track, fps)
    write_track(track if cameras else replace(track, cameras=()), out)
    click.echo(_summary(track, cameras))
    then = [f"imavatar-run AVATAR --source {shlex.quote(str(out))} --sink motion.mp4"]
    click.echo(closing_lines([out], time.perf_counter() - start, then))


def _turn_head(track: FlameTrack, head: str | None) -> FlameTrack:
    if head is not None:
        return with_head_turned(
            track, root_joints(track, HeadModel.load(head, edition=track.edition))
        )
    click.echo(f"note: {ROOT_JOINT_NOTE}", err=True)
    neutral = replace(
        track, expression=np.zeros_like(track.expression), shape=np.zeros(0, dtype=np.float32)
    )
    return with_head_turned(track, root_joints(neutral, HeadModel.load(OPENHEAD)))


def _summary(track: FlameTrack, cameras: bool) -> str:
    rotations = quaternions(track.pose)  # [T, 5, 4]
    head = product(rotations[:, 0], rotations[:, 1])
    angles = 2 * np.arccos(np.minimum(np.abs(head[:, 0]), 1.0))
    turn = np.degrees(angles.max())
    jaw = np.degrees(np.linalg.norm(track.pose[:, JAW], axis=1).max())
    edition = track.edition or "an unknown edition"
    camera_note = "with cameras" if cameras and track.cameras else "without cameras"
    return (
        f"{len(track)} frames at {track.fps:g} a second of {edition}, {camera_note}; "
        f"the head turns by up to {turn:.0f} degrees and the jaw by {jaw:.0f}"
    )
