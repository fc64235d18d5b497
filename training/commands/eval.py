"""imavatar-eval: metrics of a run, a baked avatar or foreign frames against a dataset; and the paper's experiments."""

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
from imavatar_deploy.errors import UsageError
from imavatar_deploy.optional import require_all

from ..dataset import FaceDataset
from ..evaluation.from_frames import KIND as FRAMES
from ..evaluation.markdown import cell
from ..evaluation.metric import MASKINGS
from ..evaluation.source import Options
from ..experiments.command import experiment
from .table_help import tracer_names

if TYPE_CHECKING:  # torch is needed to measure, and a help text must not need it
    from ..evaluation.measure import Scores

MEASURE = "measure"
EXTRA = "train"
NEEDED = ("torch", "igl", "skimage.measure", "scipy.spatial")


class WithDefault(CommandGroup):
    """A group whose first command need not be named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the default command's name where no command and no option of the group comes first."""
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
    """Measure renders against ground truth, or repeat one of the paper's experiments.

    `imavatar-eval RUN --data DATASET --out REPORT` is short for `imavatar-eval measure RUN …`.
    """


@evaluate.command(MEASURE, cls=Command)
@click.argument("what", required=False)
@click.option(
    "--pred",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Instead of WHAT: a directory of PNGs from any system, matched by name or order; their alpha is the mask.",
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
    "--size", default=256, show_default=True, help="Pixels a side at which everything is compared."
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
    help="State dict of AlexNet (torchvision's names) and LPIPS's linear layers; without it LPIPS is not measured.",
)
@click.option(
    "--head-model", type=click.Path(path_type=Path), help="FLAME file the dataset was tracked with."
)
@click.option("--edition", help="Of that head model, where its file does not say.")
@click.option(
    "--keep-frames", is_flag=True, help="Keep a strip of every frame in frames/, not of three only."
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
    """Measure WHAT (a run, a checkpoint, an avatar folder, or the word 'sample') against a dataset."""
    start = time.perf_counter()
    require_all(NEEDED, extra=EXTRA)
    from ..evaluation.perceptual import load_perceptual
    from ..evaluation.report import write_report
    from ..evaluation.sources import source_kind

    path = _one_of(what, pred)
    ensure_not_input(out, path, *data, lpips_weights, head_model)
    kind = FRAMES if pred else source_kind(path)
    perceptual = load_perceptual(lpips_weights) if lpips_weights else None
    truth = FaceDataset.open(
        data, size=size, frames=frames_of(frames), head_model=head_model, edition=edition
    )
    with kind.open(path, truth, Options(tracer, device)) as source:
        report = write_report(
            out,
            truth,
            source,
            MASKINGS["published" if published_masking else "head"],
            facts={"dataset": ", ".join(map(str, data))},
            perceptual=perceptual,
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
            "give either a run, checkpoint or avatar to render, or --pred with a directory of frames"
        )
    return str(what or pred)


def _show(title: str, scores: Scores) -> None:
    from ..evaluation.metrics import METRICS

    table = Table(
        "metric", "mean", "median", "worst", title=title, box=box.SIMPLE_HEAD, title_justify="left"
    )
    for name, metric in METRICS.items():
        summary = scores.summary(name) if name in scores.values else None
        label = f"{name} [{metric.unit}]" if metric.unit else name
        if summary is None:
            table.add_row(label, f"not measured: {scores.unmeasured[name]}")
        else:
            values: list[Any] = [summary.mean, summary.median, summary.worst]
            table.add_row(label, *map(cell, values))
    Console().print(table)
