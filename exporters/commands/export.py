"""imavatar-export: export a checkpoint to an avatar folder, with every graph checked."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table

from imavatar_deploy.atomic import ensure_not_input
from imavatar_deploy.avatar_io import MANIFEST, STORAGE
from imavatar_deploy.cli.command import closing_lines, rows_help, shown_progress
from imavatar_deploy.cli.options import GroupedCommand, TableOption
from imavatar_deploy.conventions import EDITIONS
from imavatar_deploy.errors import UsageError
from imavatar_deploy.fidelity.stage_metrics import COLUMNS, cells
from imavatar_deploy.optional import require
from imavatar_deploy.progress import human_bytes

from ..report import ExportReport
from .options import GROUPS

EXTRA = "export"

INPUTS = ("track", "map", "vrm_thumbnail", "tolerances", "expressions")
"""Options that name files to read."""


def _format_rows() -> str:
    from ..formats.table import FORMATS

    return rows_help(FORMATS)


def _resolutions() -> str:
    from imavatar_deploy.model.surface.extract import RESOLUTIONS

    return ", ".join(map(str, RESOLUTIONS))


def _component_choices() -> str:
    from imavatar_deploy.model.surface.mesh import CHOICES

    return ", ".join(CHOICES)


def _list_formats(context: click.Context, option: click.Parameter, enabled: bool) -> None:
    """Print the table of formats and exit, before the arguments of an export are required."""
    if enabled and not context.resilient_parsing:  # as it is while a shell completes the line
        require("torch", extra=EXTRA)
        from ..formats.table import FORMATS
        from .options import format_table

        Console().print(format_table(FORMATS.values()))
        context.exit()


@click.command(
    cls=GroupedCommand,
    groups=GROUPS,
    epilog="""\b
Examples:
  imavatar-export --list
  imavatar-export sample --format onnx --out avatar
  imavatar-export experiments/subject/IMavatar/train/train --format onnx --out avatar
  imavatar-export sample --format glb,vrm --faces 20000 --track talk --out head
  imavatar-export avatar --format glb,usdz --track talk
  imavatar-export flame_run --format vrm,glb,usdz --map arkit.npz --out head
  imavatar-export latest.pth --format player --faces 20000 --storage float16 --out small
  imavatar-export run --format player --refine data/me --out sharp
  imavatar-export latest.pth --format mesh --expressions faces.json --out meshes
  imavatar-export c_net_run --format mesh --from-field --resolution 128 --out meshes""",
)
@click.argument("checkpoint")
@click.option(
    "--format",
    "formats",
    cls=TableOption,
    rows=_format_rows,
    extra=EXTRA,
    default="onnx",
    show_default=True,
    help="Comma-separated. {rows}.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Avatar folder to write. Required with a checkpoint; an avatar folder gets the formats "
    "itself without it.",
)
@click.option(
    "--faces", default="50000", show_default=True, help="Face budget, or `full` to keep every face."
)
@click.option(
    "--resolution",
    cls=TableOption,
    rows=_resolutions,
    extra=EXTRA,
    default=256,
    show_default=True,
    help="Cells a side of the extraction: {rows}.",
)
@click.option(
    "--components",
    cls=TableOption,
    rows=_component_choices,
    extra=EXTRA,
    default="visible",
    show_default=True,
    help="Parts to keep: {rows}.",
)
@click.option(
    "--keep-strays",
    is_flag=True,
    help="Keep loose pieces that float free of the head. By default, small parts of the surface "
    "that are detached from the body are left out, unless --components is `all`; eyeballs, teeth, "
    "glasses and hair belong to the body.",
)
@click.option(
    "--parts",
    default="mouth",
    show_default=True,
    metavar="NAME",
    help="Openings that get parts of the head model (OpenHead, 15,000 faces or more): `mouth` for "
    "teeth, tongue and a dark inside, `all` for these and eyeballs that turn, `none` for the one "
    "surface of the networks.",
)
@click.option(
    "--edition",
    help=f"Head model of a published checkpoint that does not name it: {', '.join(EDITIONS)}.",
)
@click.option(
    "--storage",
    default="float32",
    show_default=True,
    help=f"Element type of the bulk arrays: {', '.join(STORAGE)}.",
)
@click.option(
    "--no-synthetic-mark",
    "synthetic_mark",
    flag_value=False,
    default=True,
    help="Leave out the machine-readable mark of files: the face is synthetic.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing avatar.")
@click.option(
    "--list",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_formats,
    help="Show every format and exit.",
)
def export(
    checkpoint: str,
    formats: str,
    out: Path | None,
    faces: str,
    resolution: int,
    components: str,
    keep_strays: bool,
    parts: str,
    edition: str | None,
    storage: str,
    synthetic_mark: bool,
    overwrite: bool,
    **grouped: Any,
) -> None:
    """Turn CHECKPOINT into an avatar folder that runs without torch, or add formats to a folder.

    CHECKPOINT is a checkpoint folder of this package, an IMavatar run folder or .pth file in the
    published layout, or the word 'sample'. Every graph is compared with the networks, and the
    student with the full network on frames it was not trained on. An avatar that misses a tolerance
    is not written.

    CHECKPOINT may also be an avatar folder. It then gets glb, vrm, usd, usdz, fbx, mesh and, from
    its student, web, and trt and triton from the graphs of onnx, in seconds to a minute each;
    nothing is extracted or trained anew. The formats onnx, player and student need the checkpoint.
    A motion is written by imavatar-bake.

    With --refine the student is fitted to the pictures of a dataset and is then sharper than the
    networks; every format takes its colours. It is compared with held-out pictures, a few of which
    the avatar folder keeps (golden/held_out.npz).

    A glb moves by morph weights and bones. An engine that rotates the jaw must also set
    jawOpenCorrective to the jaw's angle divided by 0.4255 rad; otherwise the mouth lacks the pose
    correctives (4 mm on the sample). A clip from --track contains them. The table of what a format
    cannot show lists the remaining limits. A vrm opens its jaw by the expression jawOpen.
    """
    start = time.perf_counter()
    require("torch", extra=EXTRA)
    from ..add import add_formats
    from ..export import export_avatar
    from ..fidelity.run import is_playable
    from ..settings import ExportSettings

    from_folder = (Path(checkpoint) / MANIFEST).is_file()
    out = _output(out, checkpoint if from_folder else None)
    if not (from_folder and out.resolve() == Path(checkpoint).resolve()):
        ensure_not_input(out, checkpoint, *(grouped[name] for name in INPUTS), *grouped["refine"])
    settings = ExportSettings(
        formats=tuple(name.strip() for name in formats.split(",")),
        faces=_face_budget(faces),
        resolution=resolution,
        components=components,
        keep_strays=keep_strays,
        parts=parts,
        storage=storage,
        edition=edition,
        overwrite=overwrite,
        synthetic_mark=synthetic_mark,
        **{group.name: group.settings(grouped) for group in GROUPS},
    )
    progress, say = shown_progress()
    if from_folder:
        report = add_formats(checkpoint, out, settings, progress=progress, say=say)
    else:
        report = export_avatar(checkpoint, out, settings, progress=progress, say=say)
    _show(report, out)
    commands = [f"imavatar-verify {out}", f"imavatar-run {out} --source talk --sink talk.mp4"]
    next_commands = commands if is_playable(out) else []
    click.echo(closing_lines([out], time.perf_counter() - start, next_commands))


def _output(out: Path | None, avatar: str | None) -> Path:
    """The folder to write: by default the avatar folder that gets formats."""
    if out is not None:
        return out
    if avatar is None:
        raise UsageError("a checkpoint needs --out, the avatar folder to write")
    return Path(avatar)


def _face_budget(faces: str) -> int | None:
    if faces == "full":
        return None
    try:
        return int(faces.replace("_", ""))
    except ValueError as error:
        raise UsageError(f"--faces must be a number or the word full, got {faces!r}") from error


def _show(report: ExportReport, out: Path) -> None:
    tables = (
        _stages(report),
        _parity(report),
        _frame_metrics(report),
        _refinement(report),
        _losses(report),
        _surface(report),
        _steps(report),
        _files(out),
    )
    console = Console()
    for table in tables:
        if table.row_count:
            console.print(table)
    for note in report.notes:
        click.echo(note)


def _stages(report: ExportReport) -> Table:
    table = _table("fidelity: median over the reference frames (worst frame)", *COLUMNS)
    for stage in report.stages:
        table.add_row(*cells(stage))
    return table


def _parity(report: ExportReport) -> Table:
    table = _table("parity with the networks", "graph", "output", "largest", "mean", "allowed")
    for parity in report.parity:
        for row in parity.differences:
            limits = (f"{row.largest:.1e}", f"{row.mean:.1e}", f"{row.tolerance.absolute:.0e}")
            table.add_row(parity.subject, row.name, *limits)
    return table


def _frame_metrics(report: ExportReport) -> Table:
    table = _table(
        "student against the full network",
        "validation set",
        "frames",
        "dB",
        "worst frame",
        "required",
    )
    for parity in report.parity:
        for row in parity.frame_metrics:
            table.add_row(
                row.name,
                str(row.frames),
                f"{row.psnr:.1f}",
                f"{row.min_frame_psnr:.1f}",
                f"{row.required_psnr:g}",
            )
    return table


def _refinement(report: ExportReport) -> Table:
    rows = {name: row for name, row in report.refinement.items() if isinstance(row, dict)}
    table = _table(
        f"student on {report.refinement.get('held_out_frames', 0)} held-out frames (mean)",
        "student",
        "L1",
        "PSNR",
        "mouth L1",
        "eyes L1",
    )
    for name, row in rows.items():
        numbers = (
            "not in view" if row[key] is None else form.format(row[key])
            for key, form in (
                ("l1", "{:.4f}"),
                ("psnr", "{:.1f} dB"),
                ("mouth_l1", "{:.4f}"),
                ("eyes_l1", "{:.4f}"),
            )
        )
        table.add_row(name.replace("_", " "), *numbers)
    return table


def _losses(report: ExportReport) -> Table:
    table = _table("what a format cannot show", "lost", "amount")
    for name, mm in report.losses_mm.items():
        table.add_row(name, f"at most {mm:.3f} mm")
    for name, rgb in report.losses_rgb.items():
        table.add_row(name, f"{255 * rgb:.2f} / 255 on average")
    return table


def _surface(report: ExportReport) -> Table:
    table = _table("surface and student", "measured", "value")
    student = {f"student_{name}": value for name, value in report.student.items()}
    rows = report.surface | student
    parts = {f"vertices_{name}": count for name, count in rows.pop("parts", {}).items() if count}
    for name, value in (rows | parts).items():
        values = value if isinstance(value, tuple) else (value,)
        text = " -> ".join(
            f"{number:.1e}" if isinstance(number, float) and number < 1 else f"{number:,}"
            for number in values
        )
        table.add_row(name.replace("_", " "), text)
    return table


def _steps(report: ExportReport) -> Table:
    table = _table("time", "step", "seconds")
    for name, seconds in report.seconds.items():
        table.add_row(name, f"{seconds:.1f}")
    return table


def _files(out: Path) -> Table:
    """A row for each file of the folder, and one for each folder in it."""
    table = _table("files", "file or folder", "files", "size")
    for path in sorted(out.iterdir()):
        files = [file for file in (path, *path.rglob("*")) if file.is_file()]
        name = f"{path.name}/" if path.is_dir() else path.name
        size = sum(file.stat().st_size for file in files)
        table.add_row(name, f"{len(files):,}", human_bytes(size))
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    return table
