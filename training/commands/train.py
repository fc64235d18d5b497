"""`imavatar-train`: train an avatar on a video of a face."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imavatar_deploy.atomic import ensure_not_input
from imavatar_deploy.cli.command import Command, closing_lines, progress
from imavatar_deploy.cli.options import FRAMES_HELP, FRAMES_METAVAR, TableOption, frames_of
from imavatar_deploy.conventions import EDITIONS
from imavatar_deploy.dataset import FaceDataset
from imavatar_deploy.errors import UsageError
from imavatar_deploy.optional import require_all

from .table_help import preset_names, tracer_rows, variant_rows

if TYPE_CHECKING:  # training needs torch, and a help text does not
    from ..run_folder import RunFolder
    from ..settings import TrainSettings

EXTRA = "train"
"""Extra that installs `REQUIRED`."""

REQUIRED = ("torch", "lightning_fabric", "tensorboard", "igl", "skimage.measure", "scipy.spatial")
"""Modules that a run needs, checked before it starts: some are used at its end."""

EXPORTABLE = ("imavatar", "imavatar-minus")
"""Variants that `imavatar-export` takes."""

NEW_RUN_OPTIONS = {
    "config": "--config",
    "begin_from": "--from",
    "overwrite": "--overwrite",
    "variant": "--variant",
    "seed": "--seed",
    "no_warm_start": "--no-warm-start",
    "exact_tracking": "--exact-tracking",
}
"""Options of a new run, which --resume excludes."""

DATA_OPTIONS = {
    "frames": "--frames",
    "videos": "--video",
    "head_model": "--head-model",
    "edition": "--edition",
    "device": "--device",
}
"""Options that --resume does not read from the run."""


def _continuation(options: Mapping[str, Any]) -> str:
    """How to go on after an interruption: the command that continues the run."""
    from ..run_folder import RunFolder

    run = RunFolder(options["out"])
    if not run.config.exists():
        return "before the run began"
    command = ["imavatar-train", *map(str, options["dataset"]), "--out", str(run.path)]
    defaults = {"frames": ":", "device": "auto"}
    for name, option in DATA_OPTIONS.items():
        value = options[name]
        if value not in (None, defaults.get(name)):
            values = value if isinstance(value, tuple) else (value,)
            command += [part for each in values for part in (option, str(each))]
    return f"continue with: {shlex.join([*command, '--resume'])}"


@click.command(
    cls=Command,
    interrupted=_continuation,
    epilog="""\b
Examples:
  imavatar-data synth --subject female1 --out data/female1
  imavatar-train data/female1 --out run --preset tiny --exact-tracking
  imavatar-train data/female1 --out run --resume
  imavatar-train data/anna --out anna --preset full --minutes 600 --device cuda
  imavatar-train data/anna --out plain --no-warm-start --tracer march     (as the paper)
  torchrun --nproc-per-node 4 --no-python imavatar-train data/anna --out anna --preset full

\b
The folder of the run holds checkpoint/ (for imavatar-export), config.toml (every setting,
explained), validation/ (renders beside ground truth), losses.jsonl and tensorboard/.""",
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
    help="Model variant.  [default: imavatar]  {rows}.",
)
@click.option(
    "--tracer",
    cls=TableOption,
    rows=tracer_rows,
    extra=EXTRA,
    help="Intersection of rays with the surface.  [default: raster]  {rows}.",
)
@click.option("--epochs", type=int, help="Passes over the frames, instead of the preset's length.")
@click.option("--steps", type=int, help="Steps (an image each), instead of the preset's length.")
@click.option("--minutes", type=float, help="Minutes of training, instead of the preset's length.")
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
    "--head-model", help="Head model of the tracking, if not OpenHead: FLAME's .pkl or .npz."
)
@click.option(
    "--edition",
    help=f"Edition of a head model whose file does not name it: {', '.join(EDITIONS)}.",
)
@click.option("--seed", type=int, help="Seed of all random numbers.  [default: 0]")
@click.option(
    "--resume", is_flag=True, help="Continue the run in --out; only its length may be changed."
)
@click.option("--overwrite", is_flag=True, help="Replace the run in --out.")
@click.option(
    "--no-warm-start", is_flag=True, help="Start from the paper's sphere, not from the head model."
)
@click.option(
    "--exact-tracking",
    is_flag=True,
    help="Do not optimise poses and cameras; for synthetic sets, whose tracking is exact.",
)
@click.option(
    "--from",
    "begin_from",
    metavar="CHECKPOINT",
    help="Start from the weights and network sizes of a checkpoint.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N, mps.")
def train(dataset: tuple[Path, ...], out: Path, device: str, **options: Any) -> None:
    """Train a head avatar on DATASET, one or several videos of a person in the published layout.

    A run that was stopped at any moment continues with --resume and gives the same result as an
    unbroken run. Ctrl-C saves it after the present step; a second Ctrl-C ends it at once.
    """
    start = time.perf_counter()
    require_all(REQUIRED, extra=EXTRA)
    from ..run_folder import RunFolder
    from ..run_training import train as run_training

    if options["overwrite"]:
        ensure_not_input(
            out,
            *dataset,
            options["begin_from"],
            options["head_model"],
            _external_config(out, options),
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
    with progress("reading images", len(frames)) as advance:
        for index in range(len(frames)):
            frames.observation(index)
            advance(1)
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
    if not int(os.environ.get("RANK", "0")):  # one of several processes prints the summary
        click.echo(_closing_quality(RunFolder(out)))
        following = [f"imavatar-eval {out} --data DATASET --out report"]
        if settings.variant in EXPORTABLE:
            following.append(f"imavatar-export {out} --format onnx --out avatar")
        click.echo(closing_lines([out], time.perf_counter() - start, following))


def _closing_quality(run: RunFolder) -> str:
    """The quality of the last validation, as a line."""
    last = run.validations()[-1]
    schedule = run.settings().schedule
    side = schedule.validation_size
    return (
        f"at step {last['step']}: PSNR {last['psnr']:.2f} dB, mask IoU {last['iou']:.4f}, "
        f"RGB L1 {last['l1']:.4f}, on {schedule.validation_frames} training frames of "
        f"{side} x {side}{'; see the warnings above' if last.get('warnings') else ''}"
    )


def _settings(out: Path, options: dict[str, Any]) -> TrainSettings:
    """Settings of the run (`--resume`) or of the preset, changed by the file, then by options."""
    from ..config_file import read_config, with_changes
    from ..presets import preset
    from ..run_folder import RunFolder

    resuming = options["resume"]
    if resuming and (
        changes := [
            option for name, option in NEW_RUN_OPTIONS.items() if options[name] not in (None, False)
        ]
    ):
        raise UsageError(
            f"--resume keeps the settings of the run: leave {' and '.join(changes)} out"
        )
    settings = RunFolder(out).settings() if resuming else preset(options["size_of_run"])
    if options["config"]:
        settings = read_config(options["config"], settings)
    if options["begin_from"]:
        settings = replace(settings, networks=_sizes_of(options["begin_from"]))
    if options["no_warm_start"]:
        settings = replace(settings, warm_start=False)
    plain = {
        name: options[name] for name in ("variant", "seed", "size") if options[name] is not None
    }
    length = {
        name: options[name] for name in ("epochs", "steps", "minutes") if options[name] is not None
    }
    for name, value in length.items():
        if value <= 0:
            raise UsageError(f"--{name} must be positive, got {value}")
    if len(length) > 1:
        raise UsageError(f"expected one length, got {' and '.join(f'--{name}' for name in length)}")
    if length:  # an option replaces every length of the preset
        length = {"steps": 0, "minutes": 0.0, **length}
    tracer = {"name": options["tracer"]} if options["tracer"] else {}
    inputs = (
        {"pose": False, "camera": False, "expression": False} if options["exact_tracking"] else {}
    )
    return with_changes(
        settings,
        {**plain, "schedule": length, "tracer": tracer, "inputs": inputs},
        "the command line",
    )


def _external_config(out: Path, options: dict[str, Any]) -> Path | None:
    """The path of --config, or None where it is the run's own file, which the run rewrites."""
    from ..run_folder import RunFolder

    config: Path | None = options["config"]
    return None if config == RunFolder(out).config else config


def _sizes_of(checkpoint: str) -> Any:
    from imavatar_deploy.model.checkpoint import load_variant

    return load_variant(checkpoint).sizes


if __name__ == "__main__":
    sys.exit(train())
