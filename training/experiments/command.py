"""imavatar-eval experiment: runs one row of the table of experiments."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import click

from imavatar_deploy.cli.command import Command, closing_lines, progress
from imavatar_deploy.cli.options import TableOption, list_rows
from imavatar_deploy.errors import unknown_name
from imavatar_deploy.optional import require_all

from ..commands.table_help import preset_names, tracer_names, variant_names

EXTRA = "train"
REQUIRED = (
    "torch",
    "lightning_fabric",
    "tensorboard",
    "matplotlib",
    "igl",
    "skimage.measure",
    "scipy.spatial",
)
"""Modules that are checked before the work begins, as some are needed at its end alone."""


def _experiments() -> str:
    from .experiments import EXPERIMENTS

    return "; ".join(f"{row.name} ({row.place}): {row.summary}" for row in EXPERIMENTS.values())


class ExperimentCommand(Command):
    """A command whose help lists the table of experiments."""

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the description and the table; click calls this."""
        super().format_help_text(ctx, formatter)
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(f"Experiments: {list_rows(_experiments, EXTRA)}.")


@click.command("experiment", cls=ExperimentCommand)
@click.argument("name")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder for data, runs and results.",
)
@click.option(
    "--preset",
    "size_name",
    cls=TableOption,
    rows=preset_names,
    extra=EXTRA,
    default="small",
    show_default=True,
    help="{rows}: as for imavatar-train.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="TOML file that changes settings of the preset.",
)
@click.option(
    "--subjects", default="", help="Comma-separated, as for imavatar-data synth.  [default: all]"
)
@click.option(
    "--variants",
    cls=TableOption,
    rows=variant_names,
    extra=EXTRA,
    default="",
    help="Comma-separated, for table2 and fig5: {rows}.  [default: all]",
)
@click.option(
    "--minutes", type=float, help="Longest time of each training, without its warm start."
)
@click.option(
    "--frames",
    type=click.IntRange(min=1),
    help="Frames of each training video.  [default: the set's own]",
)
@click.option(
    "--test-frames",
    type=click.IntRange(min=1),
    help="Frames of each test video, or of a sweep.  [default: the set's own]",
)
@click.option("--size", default=256, show_default=True, help="Pixels a side of the videos.")
@click.option(
    "--tracer",
    cls=TableOption,
    rows=tracer_names,
    extra=EXTRA,
    default="raster",
    show_default=True,
    help="For test renders: {rows}.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--seed", default=0, show_default=True, help="Seed of all random numbers.")
@click.option(
    "--warm-start/--no-warm-start",
    default=None,
    help="Begin from the head model.  [default: yes, except for table3]",
)
@click.option(
    "--run",
    type=click.Path(path_type=Path),
    help="For fig6 and expressions: the run or checkpoint of a trained avatar.",
)
@click.option(
    "--finished-only",
    is_flag=True,
    help="Write the results of the trials that --out holds, finished and measured; train nothing. "
    "The others are named as not run.",
)
def experiment(
    name: str,
    out: Path,
    size_name: str,
    config: Path | None,
    subjects: str,
    variants: str,
    minutes: float | None,
    frames: int | None,
    test_frames: int | None,
    size: int,
    tracer: str,
    device: str,
    seed: int,
    warm_start: bool | None,
    run: Path | None,
    finished_only: bool,
) -> None:
    """Repeat one of the paper's experiments.

    Data, runs and reports that --out holds are used again, so that an interrupted experiment
    continues.
    """
    start = time.perf_counter()
    require_all(REQUIRED, extra=EXTRA)
    from ..config_file import read_config
    from ..presets import preset
    from ..synthetic import SUBJECTS
    from .experiments import EXPERIMENTS
    from .runs import ExperimentPlan, ExperimentRun

    if name not in EXPERIMENTS:
        raise unknown_name("experiment", name, EXPERIMENTS)
    base = read_config(config, preset(size_name)) if config else preset(size_name)
    if minutes is not None:
        base = replace(base, schedule=replace(base.schedule, minutes=minutes))
    plan = ExperimentPlan(
        out=out,
        base=base,
        subjects=_names(subjects) or tuple(SUBJECTS),
        variants=_names(variants),
        frames=frames,
        test_frames=test_frames,
        size=size,
        tracer=tracer,
        device=device,
        seed=seed,
        warm_start=warm_start,
        run=run,
        finished_only=finished_only,
        progress=progress,
        say=lambda line: click.echo(line, err=True),
    )
    written = EXPERIMENTS[name].run(ExperimentRun(plan))
    click.echo(closing_lines(written, time.perf_counter() - start, [f"less {out / name}.md"]))


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
