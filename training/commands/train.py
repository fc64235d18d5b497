"""imavatar-train: from a face video to an avatar."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imavatar_deploy.atomic import ensure_not_input
from imavatar_deploy.cli.command import Command, closing_lines, progress
from imavatar_deploy.cli.options import FRAMES_HELP, FRAMES_METAVAR, TableOption, frames_of
from imavatar_deploy.conventions import EDITIONS
from imavatar_deploy.errors import UsageError
from imavatar_deploy.optional import require_all

from ..dataset import FaceDataset
from .table_help import preset_names, tracer_rows, variant_rows

if TYPE_CHECKING:  # torch is needed to train, and a help text must not need it
    from ..run_folder import RunFolder
    from ..settings import TrainSettings

EXTRA = "train"
NEEDED = ("torch", "lightning_fabric", "tensorboard", "igl", "skimage.measure", "scipy.spatial")
"""Asked for before the work begins: some are used at its end."""
EXPORTABLE = ("imavatar", "imavatar-minus")
BEGINNING = {
    "config": "--config",
    "begin_from": "--from",
    "overwrite": "--overwrite",
    "variant": "--variant",
    "seed": "--seed",
    "no_warm_start": "--no-warm-start",
    "exact_tracking": "--exact-tracking",
}
"""Options that only a beginning run may have."""


@click.command(
    cls=Command,
    interrupted="go on with --resume",
    epilog="""\b
Examples:
  imavatar-data synth --subject female1 --out data/female1
  imavatar-train data/female1 --out run --preset tiny --exact-tracking
  imavatar-train data/female1 --out run --resume
  imavatar-train data/anna --out anna --preset full --minutes 600 --device cuda
  imavatar-train data/anna --out plain --no-warm-start --tracer march     (as the paper)
  torchrun --nproc-per-node 4 --no-python imavatar-train data/anna --out anna --preset full

\b
The run's folder holds checkpoint/ (for imavatar-export), config.toml (every setting, explained),
validation/ (renders beside ground truth), losses.jsonl and tensorboard/.""",
)
@click.argument("dataset", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the run.")
@click.option(
    "--preset",
    "size_of_run",
    cls=TableOption,
    rows=preset_names,
    extra=EXTRA,
    default="tiny",
    show_default=True,
    help="One of {rows}.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="TOML file with settings that differ from the preset.",
)
@click.option(
    "--variant",
    cls=TableOption,
    rows=variant_rows,
    extra=EXTRA,
    help="What is trained.  [default: imavatar]  {rows}.",
)
@click.option(
    "--tracer",
    cls=TableOption,
    rows=tracer_rows,
    extra=EXTRA,
    help="How rays find the surface.  [default: raster]  {rows}.",
)
@click.option(
    "--epochs", type=int, help="Times every frame is seen, instead of the preset's length."
)
@click.option("--steps", type=int, help="Steps (an image each), instead of the preset's length.")
@click.option("--minutes", type=float, help="Length by the clock, instead of the preset's.")
@click.option(
    "--frames", default=":", metavar=FRAMES_METAVAR, help=f"Only these frames: {FRAMES_HELP}"
)
@click.option(
    "--video",
    "videos",
    multiple=True,
    help="Name of a video to train on; all when left out. Repeatable.",
)
@click.option("--size", type=int, help="Side in pixels that frames are resized to.  [default: 256]")
@click.option(
    "--head-model", help="What the videos were tracked with, if not OpenHead: FLAME's .pkl or .npz."
)
@click.option("--edition", help=f"Of a head model that does not tell: {', '.join(EDITIONS)}.")
@click.option("--seed", type=int, help="Of everything random.  [default: 0]")
@click.option(
    "--resume", is_flag=True, help="Go on with the run in --out; all but its length is as it was."
)
@click.option("--overwrite", is_flag=True, help="Throw the run in --out away and begin anew.")
@click.option(
    "--no-warm-start", is_flag=True, help="Begin from the paper's sphere, not from the head model."
)
@click.option(
    "--exact-tracking",
    is_flag=True,
    help="Leave poses and cameras as they are; right for synthetic sets.",
)
@click.option(
    "--from",
    "begin_from",
    metavar="CHECKPOINT",
    help="Begin with a checkpoint's weights, in its sizes.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N, mps.")
def train(dataset: tuple[Path, ...], out: Path, device: str, **options: Any) -> None:
    """Train a head avatar on DATASET, one or several videos of a person in the published layout.

    Killed at any moment, --resume gives the numbers that an unbroken run would have given.
    """
    start = time.perf_counter()
    require_all(NEEDED, extra=EXTRA)
    from ..run_folder import RunFolder
    from ..run_training import train as run_training

    if options["overwrite"]:
        ensure_not_input(
            out,
            *dataset,
            options["begin_from"],
            options["head_model"],
            _foreign_config(out, options),
        )
    settings = _settings(out, options)
    frames = FaceDataset.open(
        dataset,
        size=settings.size,
        frames=frames_of(options["frames"]),
        videos=options["videos"],
        head_model=options["head_model"],
        edition=options["edition"],
    )
    with progress("looking at every picture", len(frames)) as advance:
        for index in range(len(frames)):
            frames.observation(index)
            advance(1)
    try:
        run_training(
            frames,
            out,
            settings,
            resume=options["resume"],
            overwrite=options["overwrite"],
            begin_from=options["begin_from"],
            device=device,
            progress=progress,
            say=lambda line: click.echo(line, err=True),
        )
    except KeyboardInterrupt:
        if RunFolder(out).state.exists():
            click.echo("the last checkpoint is whole: go on with --resume", err=True)
        raise
    if not int(os.environ.get("RANK", "0")):  # of several processes one speaks
        click.echo(_closing_quality(RunFolder(out)))
        following = [f"imavatar-eval {out} --data DATASET --out report"]
        if settings.variant in EXPORTABLE:
            following.append(f"imavatar-export {out} --format onnx --out avatar")
        click.echo(closing_lines([out], time.perf_counter() - start, following))


def _closing_quality(run: RunFolder) -> str:
    """The figures of the last validation."""
    last = run.validations()[-1]
    schedule = run.settings().schedule
    side = schedule.validation_size
    return (
        f"at step {last['step']}: PSNR {last['psnr']:.2f} dB, mask IoU {last['iou']:.4f}, "
        f"RGB L1 {last['l1']:.4f}, on {schedule.validation_frames} training frames of {side} x {side}"
        f"{'; see the warnings above' if last.get('warnings') else ''}"
    )


def _settings(out: Path, options: dict[str, Any]) -> TrainSettings:
    """The run's own when resuming, else preset, then file; what the command line says wins over both."""
    from ..config_file import changed, read_config
    from ..presets import preset
    from ..run_folder import RunFolder

    resuming = options["resume"]
    if resuming and (
        changes := [
            option for name, option in BEGINNING.items() if options[name] not in (None, False)
        ]
    ):
        raise UsageError(f"--resume goes on as the run began: leave {' and '.join(changes)} out")
    settings = RunFolder(out).settings() if resuming else preset(options["size_of_run"])
    if options["config"]:
        settings = read_config(options["config"], settings)
    if options["begin_from"]:
        settings = replace(settings, networks=_sizes_of(options["begin_from"]))
    if options["no_warm_start"]:
        settings = replace(settings, warm_start=False)
    given = {
        name: options[name] for name in ("variant", "seed", "size") if options[name] is not None
    }
    length = {
        name: options[name] for name in ("epochs", "steps", "minutes") if options[name] is not None
    }
    for name, value in length.items():
        if value <= 0:
            raise UsageError(f"--{name} must be positive, got {value}")
    if len(length) > 1:
        raise UsageError(f"give one length, got {' and '.join(f'--{name}' for name in length)}")
    if length:  # what is not said is not the preset's but none
        length = {"steps": 0, "minutes": 0.0, **length}
    tracer = {"name": options["tracer"]} if options["tracer"] else {}
    inputs = (
        {"pose": False, "camera": False, "expression": False} if options["exact_tracking"] else {}
    )
    return changed(
        settings,
        {**given, "schedule": length, "tracer": tracer, "inputs": inputs},
        "the command line",
    )


def _foreign_config(out: Path, options: dict[str, Any]) -> Path | None:
    """The file of settings, unless it is the run's own, which the new run writes again."""
    from ..run_folder import RunFolder

    config: Path | None = options["config"]
    return None if config == RunFolder(out).config else config


def _sizes_of(checkpoint: str) -> Any:
    from imavatar_deploy.model.checkpoint import load_variant

    return load_variant(checkpoint).sizes


if __name__ == "__main__":
    sys.exit(train())
