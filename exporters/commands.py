"""imavatar-export: from a checkpoint to an avatar folder, proved graph by graph."""

from __future__ import annotations

import time
from pathlib import Path

import click
from rich import box
from rich.console import Console
from rich.table import Table

from imavatar_deploy.avatar_io import STORAGE
from imavatar_deploy.console import Command, closing_lines, human_bytes, progress
from imavatar_deploy.conventions import EDITIONS
from imavatar_deploy.engines.flavours import COMPATIBILITY, FLAVOURS
from imavatar_deploy.errors import UsageError
from imavatar_deploy.model.surface.components import CHOICES
from imavatar_deploy.model.surface.extract import RESOLUTIONS

from .export import export_avatar
from .formats import FORMATS
from .listing import format_table
from .report import Report
from .settings import Settings
from .tensorrt.precision import PRECISIONS


def _rows(table: dict[str, str]) -> str:
    return "; ".join(f"{name}: {text}" for name, text in table.items())


FORMAT_HELP = _rows({name: row.description for name, row in FORMATS.items()})
TARGET_HELP = _rows({row.name: ", ".join(row.targets) for row in FLAVOURS.values() if row.targets})


def _list_formats(context: click.Context, option: click.Parameter, asked: bool) -> None:
    """Show the table and end, before the arguments that an export needs are missed."""
    if asked:
        Console().print(format_table(FORMATS.values()))
        context.exit()


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  imavatar-export --list
  imavatar-export sample --format onnx --out avatar
  imavatar-export experiments/subject/IMavatar/train/train --format onnx --out avatar
  imavatar-export latest.pth --format player --faces 20000 --storage float16 --out small""",
)
@click.argument("checkpoint")
@click.option("--format", "formats", default="onnx", show_default=True, help=f"Comma-separated. {FORMAT_HELP}.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Avatar folder to write.")
@click.option("--faces", default="50000", show_default=True, help="Face budget, or `full` to keep every face.")
@click.option(
    "--resolution",
    default=256,
    show_default=True,
    help=f"Cells a side of the extraction: {', '.join(map(str, RESOLUTIONS))}.",
)
@click.option("--components", default="visible", show_default=True, help=f"Parts to keep: {', '.join(CHOICES)}.")
@click.option("--edition", help=f"Head model of a published checkpoint that does not tell: {', '.join(EDITIONS)}.")
@click.option("--storage", default="float32", show_default=True, help=f"Of the bulk arrays: {', '.join(STORAGE)}.")
@click.option("--trt-flavour", default="auto", show_default=True, help=f"Of TensorRT: auto, {', '.join(FLAVOURS)}.")
@click.option(
    "--trt-precision",
    default="auto",
    show_default=True,
    help=f"Of engines. {_rows(PRECISIONS)}.",
)
@click.option(
    "--trt-targets",
    default="",
    metavar="SM,...",
    help=f"Architectures to build for. {TARGET_HELP}; tensorrt builds for the GPU at hand.",
)
@click.option(
    "--trt-compatibility", default="none", show_default=True, help=f"Where plans run. {_rows(COMPATIBILITY)}."
)
@click.option("--overwrite", is_flag=True, help="Replace an avatar that is already there.")
@click.option(
    "--list", is_flag=True, is_eager=True, expose_value=False, callback=_list_formats, help="Show every format and end."
)
def export(
    checkpoint: str,
    formats: str,
    out: Path,
    faces: str,
    resolution: int,
    components: str,
    edition: str | None,
    storage: str,
    trt_flavour: str,
    trt_precision: str,
    trt_targets: str,
    trt_compatibility: str,
    overwrite: bool,
) -> None:
    """Turn CHECKPOINT into an avatar folder that runs without torch.

    CHECKPOINT is a checkpoint folder of ours, an IMavatar run folder or .pth file in the published layout, or the word
    'sample'. Every graph is held against the networks; a folder with one that misses its tolerance is not written.
    """
    start = time.perf_counter()
    settings = Settings(
        formats=tuple(name.strip() for name in formats.split(",")),
        faces=_face_budget(faces),
        resolution=resolution,
        components=components,
        storage=storage,
        edition=edition,
        overwrite=overwrite,
        trt_flavour=trt_flavour,
        trt_precision=trt_precision,
        trt_targets=tuple(filter(None, trt_targets.replace(" ", "").split(","))),
        trt_compatibility=trt_compatibility,
    )
    report = export_avatar(checkpoint, out, settings, progress=progress)
    _show(report, out)
    following = [f"imavatar-verify {out}", f"imavatar-run {out} --source talk --sink talk.mp4"]
    click.echo(closing_lines([out], time.perf_counter() - start, following))


def _face_budget(faces: str) -> int | None:
    if faces == "full":
        return None
    try:
        return int(faces.replace("_", ""))
    except ValueError as error:
        raise UsageError(f"--faces must be a number or the word full, got {faces!r}") from error


def _show(report: Report, out: Path) -> None:
    console = Console()
    for table in (_parity(report), _surface(report), _steps(report), _files(out)):
        console.print(table)
    for note in report.notes:
        click.echo(note)


def _parity(report: Report) -> Table:
    table = _table("parity with the networks", "graph", "output", "largest", "mean", "allowed")
    for parity in report.parity:
        for row in parity.differences:
            limits = (f"{row.largest:.1e}", f"{row.mean:.1e}", f"{row.tolerance.absolute:.0e}")
            table.add_row(parity.subject, row.name, *limits)
    return table


def _surface(report: Report) -> Table:
    table = _table("surface", "measured", "value")
    for name, value in report.surface.items():
        values = value if isinstance(value, tuple) else (value,)
        shown = " -> ".join(f"{number:.1e}" if isinstance(number, float) else f"{number:,}" for number in values)
        table.add_row(name.replace("_", " "), shown)
    return table


def _steps(report: Report) -> Table:
    table = _table("time", "step", "seconds")
    for name, seconds in report.seconds.items():
        table.add_row(name, f"{seconds:.1f}")
    return table


def _files(out: Path) -> Table:
    table = _table("files", "file", "size")
    for path in sorted(path for path in out.rglob("*") if path.is_file()):
        table.add_row(path.relative_to(out).as_posix(), human_bytes(path.stat().st_size))
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    return table
