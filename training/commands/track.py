"""`imavatar-data track`: a dataset from videos of a person."""

from __future__ import annotations

import shlex
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np

from imavatar_deploy.atomic import ensure_not_input
from imavatar_deploy.cli.command import Command, closing_lines, shown_progress
from imavatar_deploy.consent import OPTION, OPTION_HELP, read_consent, require_consent
from imavatar_deploy.conventions import EDITIONS
from imavatar_deploy.errors import InputError
from imavatar_deploy.optional import require_all

from ..tracking.result import DroppedFrame
from ..tracking.settings import MIN_FRAMES, TrackSettings

REQUIRED = ("onnxruntime",)
"""Modules that tracking needs beside the package's own dependencies."""


@click.command(
    cls=Command,
    interrupted="the same command continues where it stopped",
    short_help="Make a dataset from videos of a person.",
    epilog="""\b
LANDMARKS is an array of T frames x 68 (iBUG) or 478 (MediaPipe) x 2 or 3 numbers, as .npy, .npz
(array `landmarks`) or .json (lists; null where there is no face): columns and rows in pixels of the
video's upright picture, the first pixel's centre at 0.
Folders of masks or labels hold one .png for every frame of the video, in the order of their
numbers and with the video's proportions.
A matting network takes RGB in -1..1 and returns one mask; a parser takes RGB with ImageNet's mean
and deviation and returns scores of the 19 classes of CelebAMask-HQ.

\b
Examples:
  imavatar-data track me.mp4 --out data/me --i-may-use-this-face
  imavatar-data track turn.mov talk.mov --out data/me
  imavatar-data track me.mp4 --out data/me --focal 1450 --frames 600
  imavatar-data track new.mp4 --out data/new --shape-from data/me
  imavatar-data track me.mp4 --out data/flame --head-model FLAME2020.pkl --edition flame2020""",
)
@click.argument("videos", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Folder of the dataset to write."
)
@click.option(OPTION, "may_use", is_flag=True, help=OPTION_HELP)
@click.option("--size", default=512, show_default=True, help="Side of the pictures in pixels.")
@click.option(
    "--fps", type=float, help="Frames a second to keep.  [default: the video's, at most 25]"
)
@click.option(
    "--frames",
    type=click.IntRange(min=MIN_FRAMES),
    help="Keep at most this many frames, evenly spread over each video.",
)
@click.option(
    "--focal",
    type=float,
    help="Focal length in pixels of the video's picture.  [default: from its metadata; else its "
    "longer side, or three times the side of a square picture]",
)
@click.option("--head-model", help="Head model to fit, if not OpenHead: FLAME's .pkl or .npz.")
@click.option(
    "--edition",
    metavar="|".join(EDITIONS),
    help="Edition of a head model whose file does not name it.",
)
@click.option(
    "--shape-from",
    type=click.Path(path_type=Path),
    help="Dataset or tracker's file of the same person, whose shape is kept unchanged.",
)
@click.option(
    "--landmarks", type=click.Path(path_type=Path), help="File with the landmarks of every frame."
)
@click.option(
    "--init",
    type=click.Path(path_type=Path),
    help="Tracker's file (any that `convert` reads) from which the fit starts.",
)
@click.option(
    "--matte", type=click.Path(path_type=Path), help="ONNX graph that computes masks of the person."
)
@click.option(
    "--parser", type=click.Path(path_type=Path), help="ONNX graph that computes the 19 labels."
)
@click.option("--masks", type=click.Path(path_type=Path), help="Folder of ready masks.")
@click.option("--labels", type=click.Path(path_type=Path), help="Folder of ready labels.")
@click.option("--no-report", is_flag=True, help="Write no report.html and no overlay.mp4.")
@click.option("--overwrite", is_flag=True, help="Replace an earlier dataset at OUT.")
def track(
    videos: tuple[Path, ...], out: Path, may_use: bool, no_report: bool, **options: object
) -> None:
    """Track the face in VIDEOS of one person, and write a dataset for training.

    Every frame gets a square picture of head and shoulders, a mask, labels, and pose, expression
    and camera of a head model that is fitted to all frames together. Frames without a usable face
    are left out and listed. Several videos share one shape and one camera; each becomes a folder in
    OUT. After an interruption the same command continues.
    """
    require_all(REQUIRED, extra="cpu")
    from imavatar_deploy.head_model import OPENHEAD, HeadModel
    from imavatar_deploy.video.decode import ensure_distinct

    from ..tracking.summary import TrackSummary
    from ..tracking.track_video import OVERLAY_FILE, REPORT_FILE
    from ..tracking.track_video import track as track_videos
    from ..tracking.work_folder import WORK

    start = time.perf_counter()
    settings = TrackSettings(report=not no_report, **options)  # type: ignore[arg-type]
    ensure_not_input(
        out,
        *videos,
        settings.head_model,
        *(settings.shape_from, settings.landmarks, settings.init, settings.matte),
        *(settings.parser, settings.masks, settings.labels),
    )
    for video in videos:  # before a question about the face in a video that does not exist
        if not video.exists():
            raise InputError(f"there is no video {str(video)!r}; check the path")
    ensure_distinct(videos)
    consent = require_consent(videos, may_use, earlier=read_consent(out / WORK / "dataset"))
    progress, _ = shown_progress()
    results = track_videos(
        videos,
        out,
        settings,
        consent=consent,
        command=shlex.join(["imavatar-data", *sys.argv[1:]]),
        progress=progress,
        say=lambda line: click.echo(line, err=True),
    )
    model = HeadModel.load(settings.head_model or OPENHEAD, edition=settings.edition)
    for result in results:
        error = float(np.nanmean(result.fit.errors))
        click.echo(
            f"{result.video}: {len(result)} frames, landmarks {error:.1f} pixels from the fitted "
            f"head, {len(result.dropped)} frames left out{_listed(result.dropped)}"
        )
        summary = TrackSummary.of(result, model)
        click.echo(f"{result.video}: {summary.verdict.sentence}")
        for item in summary.gravest:
            click.echo(f"  {item.text}")
        if settings.report:
            # As the user wrote OUT, which `folder` resolves.
            folder = out / result.folder.relative_to(out.resolve())
            click.echo(f"  all advice: {folder / REPORT_FILE}")
    head = "".join(
        f" {option} {shlex.quote(str(value))}"
        for option, value in (
            ("--head-model", settings.head_model),
            ("--edition", settings.edition),
        )
        if value
    )
    then = [f"imavatar-data check {shlex.quote(str(out))}{head}"]
    then.append(f"imavatar-train {shlex.quote(str(out))}{head} --out run")
    written = [out]
    if settings.report:
        folders = [out / result.folder.relative_to(out.resolve()) for result in results]
        written += [folder / name for folder in folders for name in (REPORT_FILE, OVERLAY_FILE)]
    click.echo(closing_lines(written, time.perf_counter() - start, then))


def _listed(dropped: Sequence[DroppedFrame]) -> str:
    """The reasons to leave frames out, such as ` (12 no face, 3 blurred)`."""
    counts = Counter(frame.reason for frame in dropped).most_common()
    return f" ({', '.join(f'{count} {reason}' for reason, count in counts)})" if counts else ""
