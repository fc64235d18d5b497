"""The table of option groups: a format with choices of its own adds a row, and `settings.Settings` a field."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich import box
from rich.markup import escape
from rich.table import Table

from imavatar_deploy.cli.command import rows_help
from imavatar_deploy.cli.options import OptionGroup
from imavatar_deploy.errors import ImavatarError, MissingDependencyError
from imavatar_deploy.optional import require
from imavatar_deploy.student import WIDTHS
from imavatar_deploy.tracks import FlameTrack, read_track
from imavatar_deploy.trt.flavours import COMPATIBILITY, FLAVOURS

from ..fidelity.options import FidelitySettings
from ..formats.gltf import options as gltf_options
from ..formats.named_poses import PRESETS
from ..formats.option import FormatOption
from ..formats.options import MESH_TYPES, MeshSettings, TrtSettings
from ..formats.tensorrt_precision import PRECISIONS
from ..student.options import STEPS, TAKERS, StudentSettings

if TYPE_CHECKING:  # torch is needed to export, and a help text must not need it
    from ..formats.format import ExportFormat

# --track: a motion for the formats that can hold one.


def _read(track: str | None) -> FlameTrack | None:
    motion = None if track is None else read_track(track)
    for note in motion.notes if motion else ():
        click.echo(note, err=True)
    return motion


GROUP = OptionGroup(
    "track",
    "Motion",
    (
        FormatOption(
            "--track",
            formats=("glb", "usd", "usdz"),
            help="A motion (a track, file or folder, or the word talk) that glb, usd and usdz hold as a clip.",
        ),
    ),
    _read,
)

TARGETS = {row.name: ", ".join(row.targets) for row in FLAVOURS.values() if row.targets}


def _proof(proof_size: int, tolerances: Path | None, allow_drift: str | None) -> FidelitySettings:
    return FidelitySettings(proof_size, tolerances, allow_drift)


PROOF = OptionGroup(
    "proof",
    "The proof",
    (
        FormatOption(
            "--proof-size",
            formats=(),
            type=int,
            default=FidelitySettings.size,
            help="Pixels a side of the frames on which every hop from implicit render to student is judged.",
        ),
        FormatOption(
            "--tolerances",
            formats=(),
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="TOML that changes what a hop may lose, as [baked] and below it psnr = 36.",
        ),
        FormatOption(
            "--allow-drift",
            formats=(),
            metavar="REASON",
            help="Write an avatar that misses a tolerance; the manifest tells why.",
        ),
    ),
    _proof,
)


def _student(student: str, no_student: bool, student_steps: int) -> StudentSettings | None:
    return None if no_student else StudentSettings(int(student), student_steps)


STUDENT = OptionGroup(
    "student",
    "Student",
    (
        FormatOption(
            "--student",
            formats=TAKERS,
            type=click.Choice([str(width) for width in WIDTHS]),
            default=str(WIDTHS[0]),
            help="Hidden width of the tiny network that CPU and web draw with.",
        ),
        FormatOption(
            "--no-student",
            formats=TAKERS,
            is_flag=True,
            help="Leave it out: no training, and shading by the full network alone.",
        ),
        FormatOption(
            "--student-steps",
            formats=TAKERS,
            type=click.IntRange(min=0),
            default=STEPS,
            help="Of its training: more for one that misses its quality.",
        ),
    ),
    _student,
)

MESH = OptionGroup(
    "mesh",
    "Meshes",
    (
        FormatOption(
            "--expressions",
            formats=("mesh",),
            default=PRESETS,
            metavar="FILE|presets",
            help="Faces of the format mesh: a track, or JSON such as "
            '{"smile": {"expression": {"mouthSmileLeft": 1}, "pose": {"jaw": [0.2, 0, 0]}}}.',
        ),
        FormatOption(
            "--mesh-type",
            formats=("mesh",),
            default="ply",
            help=f"Of the format mesh: {', '.join(MESH_TYPES)}.",
        ),
        FormatOption(
            "--from-field",
            formats=("mesh",),
            is_flag=True,
            help="Take the meshes from the deformed field itself, face by face; this exports any "
            "variant of the networks.",
        ),
    ),
    MeshSettings,
)


def _trt(
    trt_flavour: str,
    trt_precision: str,
    trt_targets: str,
    trt_compatibility: str,
) -> TrtSettings:
    targets = tuple(filter(None, trt_targets.replace(" ", "").split(",")))
    return TrtSettings(trt_flavour, trt_precision, targets, trt_compatibility)


def _trt_option(name: str, default: str, text: str, metavar: str | None = None) -> FormatOption:
    return FormatOption(name, formats=("trt",), default=default, help=text, metavar=metavar)


TRT = OptionGroup(
    "trt",
    "TensorRT",
    (
        _trt_option("--trt-flavour", "auto", f"Of TensorRT: auto, {', '.join(FLAVOURS)}."),
        _trt_option("--trt-precision", "auto", f"Of engines. {rows_help(PRECISIONS)}."),
        _trt_option(
            "--trt-targets",
            "",
            f"Architectures to build for. {rows_help(TARGETS)}; tensorrt builds for the GPU at hand.",
            "SM,...",
        ),
        _trt_option("--trt-compatibility", "none", f"Where plans run. {rows_help(COMPATIBILITY)}."),
    ),
    _trt,
)

GROUPS = (
    PROOF,
    STUDENT,
    GROUP,
    gltf_options.GROUP,
    MESH,
    TRT,
)


def options_of(name: str) -> list[str]:
    """The options that a format obeys and others do not."""
    options = (option for group in GROUPS for option in group.options)
    return [
        option.opts[0]
        for option in options
        if isinstance(option, FormatOption) and name in option.formats
    ]


# imavatar-export --list: every format, what it gives, needs and obeys, and whether that is here.


HERE = "[green]here[/]"


def format_table(rows: Iterable[ExportFormat]) -> Table:
    """One row a format."""
    table = Table("format", "gives", "needs", "options of its own", "", box=box.SIMPLE_HEAD)
    for row in rows:
        needs = ", ".join(
            filter(None, (*row.modules, row.beyond, *(f"--format {name}" for name in row.after)))
        )
        table.add_row(
            row.name,
            row.description,
            needs,
            "\n".join(options_of(row.name)),
            availability(row),
            end_section=True,
        )
    return table


def availability(row: ExportFormat) -> str:
    """`here`, or what is missing and the line that brings it; every module is imported for real."""

    missing = []
    for module in row.modules:
        try:
            require(module, extra=row.extra)
        except MissingDependencyError:
            missing.append(module)
    if not missing:
        return _more(row)
    return f"[yellow]without {', '.join(missing)}:[/] pip install 'imavatar-deploy\\[{row.extra}]'"


def _more(row: ExportFormat) -> str:
    from ..settings import ExportSettings

    try:
        row.ready(ExportSettings())
    except ImavatarError as error:
        return f"[yellow]{escape(str(error))}[/]"
    return HERE
