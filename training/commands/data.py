"""`imavatar-data`: track videos, render a synthetic dataset, check one, convert files."""

from __future__ import annotations

import shlex
import time
from pathlib import Path

import click
from rich import box
from rich.console import Console
from rich.table import Table

from imavatar_deploy.atomic import ensure_not_input
from imavatar_deploy.cli.command import EXIT_CODES, Command, CommandGroup, closing_lines, progress
from imavatar_deploy.conventions import EDITIONS
from imavatar_deploy.dataset.images import DECODE_FLAGS
from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.optional import require_all

from ..dataset.check import inspect
from ..dataset.findings import summary_lines
from ..dataset.report import Inspection, preview
from .convert import convert
from .fit_map import fit_map
from .track import track

SYNTHESIS = ("torch", "igl", "skimage.measure", "scipy.interpolate")
"""Modules that `synth` needs."""

SUBJECTS = "female1|female2|male1|male2"


@click.group(
    cls=CommandGroup,
    epilog=f"""\b
Examples:
  imavatar-data track me.mp4 --out data/me
  imavatar-data synth --subject female1 --out data/female1
  imavatar-data check data/female1 --preview sheet.png
  imavatar-data convert checkpoint flame_params.json

{EXIT_CODES}""",
)
def data() -> None:
    """Make and check datasets in the published layout, and convert trackers' files to it.

    A video is a folder with image/, mask/ and, if known, semantic/ (one PNG a frame each) and
    flame_params.json with a pose, an expression and a camera per frame. A dataset is a video, or a
    folder of videos of one subject.
    """


data.add_command(fit_map)
data.add_command(convert)
data.add_command(track)


@data.command(
    cls=Command,
    short_help="Render a video of a synthetic subject.",
    epilog="""\b
Examples:
  imavatar-data synth --subject female1 --out data/female1
  imavatar-data synth --subject female1 --out data/female1_test --test
  imavatar-data synth --subject male2 --out small --frames 20 --size 64""",
)
@click.option("--subject", required=True, metavar=SUBJECTS, help="Subject to render.")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Folder of the video to write."
)
@click.option(
    "--frames", type=click.IntRange(min=1), help="Number of frames.  [default: the whole set]"
)
@click.option("--size", default=256, show_default=True, help="Side of the images in pixels.")
@click.option(
    "--seed",
    default=0,
    show_default=True,
    help="Seed of the motion; the same seed gives the same images.",
)
@click.option(
    "--test", "test", is_flag=True, help="The test set: strong expressions absent from training."
)
@click.option(
    "--plus", is_flag=True, help="The training set and 30 % more frames of stronger expressions."
)
@click.option("--overwrite", is_flag=True, help="Replace an existing synthetic set.")
def synth(
    subject: str,
    out: Path,
    frames: int | None,
    size: int,
    seed: int,
    test: bool,
    plus: bool,
    overwrite: bool,
) -> None:
    """Render a video of a synthetic subject: head rotation and mild speech, with ground truth.

    Beside images, masks and labels it holds exact normals, depth and the subject's surface. The
    subjects differ from the head model in shape, hair, asymmetry and strength of expressions.
    """
    require_all(SYNTHESIS, extra="train")
    from ..synthetic import synthesise

    if test and plus:
        raise UsageError("--test and --plus are two different sets: choose one of them")
    start = time.perf_counter()
    which = "test" if test else "train+" if plus else "train"
    synthesise(
        subject,
        out,
        which=which,
        frames=frames,
        size=size,
        seed=seed,
        overwrite=overwrite,
        progress=progress,
    )
    following = [f"imavatar-data check {out}", f"imavatar-train {out} --out run"]
    if test:
        following[1:] = [f"imavatar-eval run --data {out} --out report"]
    click.echo(closing_lines([out], time.perf_counter() - start, following))


@data.command(
    cls=Command,
    short_help="Check a dataset before training.",
    epilog="""\b
Examples:
  imavatar-data check data/female1
  imavatar-data check data/female1 --preview sheet.png
  imavatar-data convert checkpoint flame_params.json
  imavatar-data check data/anna --video MVI_1810 --head-model FLAME2020.pkl --edition flame2020""",
)
@click.argument("dataset", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--video",
    "videos",
    multiple=True,
    help="Name of a video to check; all when left out. Repeatable.",
)
@click.option(
    "--size", default=256, show_default=True, help="Side in pixels at which frames are compared."
)
@click.option(
    "--head-model", help="Head model of the tracking, if not OpenHead: FLAME's .pkl or .npz."
)
@click.option(
    "--edition",
    help=f"Edition of a head model whose file does not name it: {', '.join(EDITIONS)}.",
)
@click.option(
    "--preview", "sheet", type=click.Path(path_type=Path), help="Write a contact sheet, a .png."
)
def check(
    dataset: tuple[Path, ...],
    videos: tuple[str, ...],
    size: int,
    head_model: str | None,
    edition: str | None,
    sheet: Path | None,
) -> None:
    """Report what is missing or inconsistent in DATASET (one or several folders).

    Errors prevent training and give exit code 6. Warnings may be intended.
    """
    start = time.perf_counter()
    if sheet:
        ensure_not_input(
            sheet,
            *(
                path
                for folder in dataset
                for kind in DECODE_FLAGS
                for path in folder.rglob(f"{kind}/*")
            ),
        )
    outcome = inspect(
        dataset, size=size, videos=videos, head_model=head_model, edition=edition, progress=progress
    )
    _show(outcome)
    for line in summary_lines(outcome.findings):
        click.echo(line)
    if sheet:
        preview([report.video for report in outcome.videos], outcome.head, sheet)
    if outcome.errors:
        errors = f"{len(outcome.errors)} error{'s' if len(outcome.errors) > 1 else ''}"
        raise InputError(
            f"{errors} in this dataset: fix them, or remove the frames they name from "
            "flame_params.json"
        )
    click.echo(f"fine: {sum(report.frames for report in outcome.videos)} frames can be trained on")
    values = [
        *(("--video", name) for name in videos),
        ("--head-model", head_model),
        ("--edition", edition),
    ]
    options = [f" {option} {shlex.quote(value)}" for option, value in values if value]
    train = f"imavatar-train {shlex.join(map(str, dataset))}{''.join(options)} --out run"
    click.echo(closing_lines([sheet] if sheet else [], time.perf_counter() - start, [train]))


def _show(outcome: Inspection) -> None:
    table = Table("video", "frames", "pixels", "jaw", "head", "expression", box=box.SIMPLE_HEAD)
    for report in outcome.videos:
        frames = (
            str(report.frames)
            if report.readable == report.frames
            else f"{report.readable} of {report.frames}"
        )
        table.add_row(
            report.name, frames, report.side, report.jaw, report.rotation, report.expression
        )
    if outcome.videos:
        Console().print(table)
    for report in outcome.videos:
        click.echo(f"{report.name} has {', '.join(report.kinds)}")
        labels = ", ".join(report.labels) or "none; losses on labels will be left out"
        click.echo(f"{report.name} labels: {labels}")
