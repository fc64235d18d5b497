"""`imavatar-eval`: metrics of a run, an avatar or frames against a dataset; paper experiments."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.console import Console
from rich.table import Table

from imavatar_deploy.atomic import ensure_not_input
from imavatar_deploy.cli.command import EXIT_CODES, Command, CommandGroup, closing_lines, progress
from imavatar_deploy.cli.options import FRAMES_HELP, FRAMES_METAVAR, TableOption, frames_of
from imavatar_deploy.dataset import FaceDataset
from imavatar_deploy.errors import UsageError
from imavatar_deploy.optional import require_all

from ..evaluation.from_frames import KIND as FRAMES
from ..evaluation.markdown import cell
from ..evaluation.metric import MASKINGS
from ..experiments.command import experiment
from .table_help import tracer_names

if TYPE_CHECKING:  # measuring needs torch, and a help text does not
    from ..evaluation.measure import Scores

MEASURE = "measure"
"""Name of the default command."""

EXTRA = "train"
"""Extra that installs `REQUIRED`."""

REQUIRED = ("torch", "igl", "skimage.measure", "scipy.spatial")
"""Modules that `measure` needs, checked before it starts."""


class WithDefault(CommandGroup):
    """A command group with a default command, whose name may be left out."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert the default command's name unless a command or an option of the group is first."""
        own = {name for option in self.get_params(ctx) for name in option.opts}
        if args and args[0] not in {*self.commands, *own}:
            args = [MEASURE, *args]
        return super().parse_args(ctx, args)


@click.group(
    cls=WithDefault,
    epilog=f"""\b
Examples:
  imavatar-eval run --data subject/test --out report
  imavatar-eval avatar --data subject/test --out report --published-masking
  imavatar-eval --pred their_frames --data subject/test --out report
  imavatar-eval experiment table2 --out table2 --preset tiny --minutes 5

{EXIT_CODES}""",
)
def evaluate() -> None:
    """Measure renders against ground truth, or repeat an experiment of the paper.

    `imavatar-eval RUN --data DATASET --out REPORT` is short for `imavatar-eval measure RUN …`.
    """


@evaluate.command(MEASURE, cls=Command)
@click.argument("what", required=False)
@click.option(
    "--pred",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Instead of WHAT: a directory of PNGs from any system, matched by name or order; their "
    "alpha is the mask.",
)
@click.option(
    "--data",
    required=True,
    multiple=True,
    type=click.Path(path_type=Path),
    help="Dataset; may be repeated.",
)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Folder for the report."
)
@click.option(
    "--frames", default=":", metavar=FRAMES_METAVAR, help=f"Only these frames: {FRAMES_HELP}"
)
@click.option(
    "--size", default=256, show_default=True, help="Side in pixels at which images are compared."
)
@click.option(
    "--tracer",
    cls=TableOption,
    rows=tracer_names,
    extra=EXTRA,
    default="raster",
    show_default=True,
    help="For runs: {rows}.",
)
@click.option("--device", default="auto", show_default=True, help="For runs: auto, cpu or cuda.")
@click.option("--published-masking", is_flag=True, help=f"{MASKINGS['published'].summary}.")
@click.option(
    "--lpips-weights",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="State dict of AlexNet (torchvision's names) and LPIPS's linear layers; without it LPIPS "
    "is not measured.",
)
@click.option(
    "--head-model", type=click.Path(path_type=Path), help="FLAME file the dataset was tracked with."
)
@click.option("--edition", help="Edition of that head model, where its file does not name it.")
@click.option(
    "--keep-frames",
    is_flag=True,
    help="Write a strip of every frame to frames/, not only of three.",
)
@click.option("--overwrite", is_flag=True, help="Replace an earlier report.")
def measure(
    what: str | None,
    pred: Path | None,
    data: tuple[Path, ...],
    out: Path,
    frames: str,
    size: int,
    tracer: str,
    device: str,
    published_masking: bool,
    lpips_weights: Path | None,
    head_model: Path | None,
    edition: str | None,
    keep_frames: bool,
    overwrite: bool,
) -> None:
    """Measure WHAT against a dataset: a run, a checkpoint, an avatar folder or 'sample'."""
    start = time.perf_counter()
    require_all(REQUIRED, extra=EXTRA)
    from ..evaluation.evaluate import evaluate as evaluate_source

    path = _one_of(what, pred)
    ensure_not_input(out, path, *data, lpips_weights, head_model)
    truth = FaceDataset.open(
        data, size=size, frames=frames_of(frames), head_model=head_model, edition=edition
    )
    report = evaluate_source(
        path,
        truth,
        out,
        kind=FRAMES.name if pred else None,
        masking="published" if published_masking else "head",
        tracer=tracer,
        device=device,
        lpips_weights=lpips_weights,
        title=", ".join(map(str, data)),
        keep_frames=keep_frames,
        overwrite=overwrite,
        progress=progress,
    )
    _show(report.title, report.scores)
    click.echo(closing_lines([out], time.perf_counter() - start, [f"less {out / 'report.md'}"]))


evaluate.add_command(experiment)


def _one_of(what: str | None, pred: Path | None) -> str:
    if (what is None) == (pred is None):
        raise UsageError(
            "expected either a run, checkpoint or avatar to render, or --pred with a directory of "
            "frames"
        )
    return str(what or pred)


def _show(title: str, scores: Scores) -> None:
    from ..evaluation.metrics import METRICS

    table = Table(
        "metric", "mean", "median", "worst", title=title, box=box.SIMPLE_HEAD, title_justify="left"
    )
    for name, metric in METRICS.items():
        summary = scores.summary(name)
        label = f"{name} [{metric.unit}]" if metric.unit else name
        if summary is None:
            table.add_row(label, f"not measured: {scores.unmeasured[name]}")
        else:
            values: list[Any] = [summary.mean, summary.median, summary.worst]
            table.add_row(label, *map(cell, values))
    Console().print(table)
