"""`imavatar-create`: one command from a video of a face to a playing avatar."""

from __future__ import annotations

import shlex
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from imavatar_deploy.atomic import ensure_not_input, ensure_writable, refuse_standard_output
from imavatar_deploy.avatar_io import MANIFEST
from imavatar_deploy.cli.command import Command, closing_lines
from imavatar_deploy.consent import OPTION, OPTION_HELP, consent_of, require_consent
from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.optional import require_all
from imavatar_deploy.video.decode import VideoReader, ensure_distinct

from .options import check_formats, check_options, check_sizes
from .plan import (
    LATE,
    TRACK_SECONDS,
    TRACK_START,
    WHY_LATE,
    TimePlan,
    comparison,
    make_plan,
    most_frames,
)
from .report import write_report
from .runner import RUN_NOTICE, run_stages
from .stages import STAGES, CreateJob, CreateRequest, CreateStage, held_out_frames
from .work import STATE, CreateFolder, fingerprint

TRAINING = ("torch", "lightning_fabric", "tensorboard", "igl", "skimage.measure", "scipy.spatial")
"""Modules that training needs, checked before the first stage."""

EXPORT = ("onnx", "onnxscript", "onnxruntime")
"""Modules that the export needs beside them."""

MOST_FRAMES_A_SECOND = 25.0
"""Rate to which `imavatar-data track` reduces faster videos."""

UNKNOWN_SECONDS = 20.0
"""Length that is assumed of a video whose header does not state it, seconds."""


@click.command(
    cls=Command,
    interrupted=RUN_NOTICE,
    epilog=f"""\b
Examples:
  imavatar-create me.mp4 --out me {OPTION}
  imavatar-create turn.mp4 talk.mp4 --out me --minutes 40
  imavatar-create me.mp4 --out me --preset small --format player,glb,vrm
  imavatar-create me.mp4 --out me --track "--focal 1400" --export "--faces 20000"

\b
The avatar is the folder OUT. Beside it, OUT.work/ holds dataset/, run/, held_out/, logs/,
preview.mp4 and report.html. An avatar that misses a tolerance is written to OUT.rejected
instead. Remove both folders when the avatar is as it should be.""",
)
@click.argument(
    "videos", nargs=-1, required=True, metavar="VIDEO...", type=click.Path(path_type=Path)
)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Avatar folder to write."
)
@click.option(OPTION, "may_use", is_flag=True, help=OPTION_HELP)
@click.option(
    "--minutes",
    type=float,
    help="Time for all stages, on two cores that no other program uses; training has the rest of "
    "it.  [default: 15, or the length of --preset]",
)
@click.option(
    "--preset",
    help="Preset of imavatar-train: tiny, small, full.  [default: the largest that fits]",
)
@click.option("--steps", type=click.IntRange(min=1), help="Steps of training, instead of a time.")
@click.option(
    "--size", default=512, show_default=True, help="Side of the tracked pictures in pixels."
)
@click.option(
    "--training-size",
    default=256,
    show_default=True,
    help="Side in pixels of the pictures of training and of the figures.",
)
@click.option(
    "--format",
    "formats",
    default="player",
    show_default=True,
    help="Formats of imavatar-export, comma-separated. The preview needs one of player, onnx, "
    "student.",
)
@click.option(
    "--refine/--no-refine",
    default=True,
    show_default=True,
    help="Whether the export fits the colours to the frames of the training, which makes the "
    "avatar sharper. A result that is not better on some of them, held out, is left out.",
)
@click.option(
    "--track",
    "track_options",
    default="",
    metavar="OPTIONS",
    help="Further options of imavatar-data track, in quotes.",
)
@click.option(
    "--train",
    "train_options",
    default="",
    metavar="OPTIONS",
    help="Further options of imavatar-train, in quotes.",
)
@click.option(
    "--export",
    "export_options",
    default="",
    metavar="OPTIONS",
    help="Further options of imavatar-export, in quotes.",
)
@click.option(
    "--overwrite", is_flag=True, help="Replace an avatar of other videos or of another command."
)
def create(
    videos: tuple[Path, ...],
    out: Path,
    may_use: bool,
    minutes: float | None,
    preset: str | None,
    steps: int | None,
    size: int,
    training_size: int,
    formats: str,
    refine: bool,
    track_options: str,
    train_options: str,
    export_options: str,
    overwrite: bool,
) -> None:
    """Make a playing avatar of the person in VIDEO (one or several files of the same person).

    The stages are track, train, export, evaluate and preview. Each runs one command, which is
    displayed before it starts. After an interruption the same command continues; a stage whose
    inputs have not changed is skipped. Training does not use the last tenth of the frames, on which
    the avatar is measured.
    """
    start = time.perf_counter()
    _check_videos(videos)
    check_sizes(size, training_size)
    _check_name(out)
    work = CreateFolder.open(out.with_name(f"{out.name}.work"))
    _check_out(out, work, videos, overwrite)
    check_formats(formats)
    prints = [fingerprint(video) for video in videos]
    if work.stages and work.videos != prints and not overwrite:
        raise UsageError(
            f"{work.path} is of other videos ({_names(work.videos)}), or they have changed since; "
            "choose another --out, or pass --overwrite to replace the avatar"
        )
    earlier = consent_of(work.consent) if work.consent and work.videos == prints else None
    consent = require_consent(videos, may_use, earlier=earlier)
    for option, text in (("--train", train_options), ("--export", export_options)):
        check_options(option, _words(option, text))
    frames = expected_frames(videos)
    limit = None if steps else most_frames(frames, minutes, preset)
    request = CreateRequest(
        videos=videos,
        out=out,
        minutes=minutes,
        preset=preset,
        steps=steps,
        frames=limit,
        size=size,
        training_size=training_size,
        formats=formats,
        refine=refine,
        options={
            "track": _words("--track", track_options),
            "train": _words("--train", train_options),
            "export": _words("--export", export_options),
        },
        consent_option=consent.how != "file",
    )
    first = _plan(request, limit or frames, available=frames)
    require_all(TRAINING, extra="train")
    require_all(EXPORT, extra="export")
    work.path.mkdir(parents=True, exist_ok=True)
    work.consent = consent.as_dict()
    work.videos = prints
    work.save()
    job = CreateJob(request, work)
    if limit:
        _say(f"note: {limit} of {frames} frames are tracked in this time; --minutes allows more")
    for line in [*first.lines(), f"consent: {consent.line()}"]:
        _say(line)
    run_stages(job, STAGES, _say, lambda stage, resumed: _before(job, first, stage, resumed))
    report = write_report(job)
    for line in comparison(work.plan.get("expected", {}), work.minutes()):
        _say(line)
    following = [
        f"imavatar-run {shlex.quote(str(out))} --source talk --sink http://127.0.0.1:8080",
        f"imavatar-verify {shlex.quote(str(out))}",
    ]
    written = [out, report, work.preview]
    click.echo(closing_lines(written, time.perf_counter() - start, following))


def _say(line: str) -> None:
    click.echo(line, err=True)


def _check_videos(videos: tuple[Path, ...]) -> None:
    """Refuse paths that are not files, or the same file twice.

    Raises:
        InputError: a path is missing or a folder.
        UsageError: two videos are the same.
    """
    for video in videos:
        if not video.is_file():
            state = "is a folder" if video.is_dir() else "does not exist"
            raise InputError(f"{video} {state}; give the file of a video")
    ensure_distinct(videos)


def _check_name(out: Path) -> None:
    """Refuse a path without a name, beside which there is no work folder.

    Raises:
        UsageError: `out` is the present folder, the one above, or the root.
    """
    if out.name in ("", ".."):
        raise UsageError(
            f"--out {out} has no name, and OUT.work is to be written beside it; "
            "give the name of a new folder, such as --out me"
        )


def _names(prints: list[dict[str, Any]]) -> str:
    """Names of the files of fingerprints."""
    return ", ".join(Path(str(one.get("path"))).name for one in prints)


def _check_out(out: Path, work: CreateFolder, videos: tuple[Path, ...], overwrite: bool) -> None:
    """Refuse an output before the first stage.

    Raises:
        UsageError: `out` or the work folder would replace other things.
    """
    refuse_standard_output(out)
    for folder in (out, work.path):
        ensure_not_input(folder, *videos)
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"{folder} is a file, and a folder is to be written there")
    ensure_writable(work.path / STATE if work.path.exists() else work.path)
    if work.path.is_dir() and any(work.path.iterdir()) and not (work.path / STATE).is_file():
        raise UsageError(f"{work.path} is a folder with other things in it; choose another --out")
    if not (out.is_dir() and any(out.iterdir())):
        return
    if not (out / MANIFEST).is_file():
        raise UsageError(
            f"{out} is a folder with other things in it (no {MANIFEST}); choose another name"
        )
    if "export" not in work.stages and not overwrite:
        raise UsageError(
            f"{out} is already there, and another command wrote it; choose another name or pass "
            "--overwrite"
        )


def _words(option: str, text: str) -> tuple[str, ...]:
    """The arguments in a text, as a shell splits it."""
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise UsageError(f"{option} cannot be split into options ({error}), got {text!r}") from None


def expected_frames(videos: tuple[Path, ...]) -> int:
    """Number of frames of the dataset by the headers of the videos.

    Raises:
        InputError: a file is not a video.
    """
    frames = 0.0
    for video in videos:
        with VideoReader(video) as reader:
            seconds = reader.info.duration
            rate = min(reader.info.fps, MOST_FRAMES_A_SECOND)
        frames += rate * (UNKNOWN_SECONDS if seconds is None else seconds)
    return max(1, round(frames))


def _plan(
    request: CreateRequest,
    frames: int,
    factor: float = 1.0,
    *,
    refuse: bool = True,
    available: int | None = None,
) -> TimePlan:
    """The plan of a request; the minutes of a number of steps are not known before."""
    if request.steps is not None:
        plan = make_plan(
            frames, None, request.preset or "tiny", factor, export=request.export_minutes
        )
        others = {name: minutes for name, minutes in plan.expected.items() if name != "train"}
        return replace(plan, expected=others)
    return make_plan(
        frames,
        request.minutes,
        request.preset,
        factor,
        refuse=refuse,
        export=request.export_minutes,
        available=available,
    )


def _before(job: CreateJob, first: TimePlan, stage: CreateStage, resumed: bool) -> None:
    """Plan the training by the number of frames and by the time that tracking has taken."""
    if stage.name != "train" or (resumed and job.work.plan):
        return
    frames = job.work.frames()
    tracking = job.work.stages["track"].seconds
    factor = tracking / (TRACK_START + TRACK_SECONDS * frames)
    plan = _plan(job.request, frames, factor, refuse=False)
    # The minutes are compared with the plan that was displayed first.
    job.work.plan = asdict(replace(plan, expected=first.expected))
    for line in _second_plan(job, first, plan, frames, factor):
        _say(line)


def _second_plan(
    job: CreateJob, first: TimePlan, plan: TimePlan, frames: int, factor: float
) -> list[str]:
    """What has changed in the plan, now that tracking is done."""
    lines = []
    if factor > LATE:
        lines.append(
            f"note: tracking took {factor:.1f} times as long as planned ({WHY_LATE}); the later "
            "stages will take longer, too"
            + (", and training has less time" if plan.training is not None else "")
        )
    if plan.training is not None:
        other = "" if plan.preset == first.preset else f" in place of {first.preset}"
        lines.append(
            f"plan: {frames} frames, {held_out_frames(frames)} kept for the figures; preset "
            f"{plan.preset}{other}, {plan.training:.1f} minutes of training"
        )
    return [*lines, *([f"note: {plan.note}"] if plan.note else [])]


if __name__ == "__main__":
    sys.exit(create())
