"""Option groups of imavatar-export, and the table of formats that `--list` prints.

A format with options of its own adds a row to `GROUPS`, and a field to `settings.ExportSettings`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich import box
from rich.markup import escape
from rich.table import Table

from imavatar_deploy.cli.command import rows_help
from imavatar_deploy.cli.options import FRAMES_HELP, FRAMES_METAVAR, OptionGroup, frames_of
from imavatar_deploy.errors import ImavatarError, MissingDependencyError, UsageError
from imavatar_deploy.optional import require
from imavatar_deploy.retarget import ExpressionMap, read_map
from imavatar_deploy.student import WIDTHS
from imavatar_deploy.tracks import FlameTrack, read_track
from imavatar_deploy.trt.flavours import COMPATIBILITY, FLAVOURS

from ..fidelity.options import FidelitySettings
from ..formats.format_option import FormatOption
from ..formats.gltf import options as gltf_options
from ..formats.gltf.settings import TEXTURE_SIZES
from ..formats.named_poses import PRESETS
from ..formats.options import (
    DEFAULT_USD_COLOURS,
    MESH_COLOURS,
    MESH_TYPES,
    USD_COLOURS,
    MeshSettings,
    ReportSettings,
    TrtSettings,
    UsdSettings,
    WebSettings,
)
from ..formats.report.poses import POSES
from ..formats.tensorrt_precision import PRECISIONS
from ..refine.options import RefineSettings
from ..student.options import DEFAULT_STEPS, STUDENT_FORMATS, StudentSettings
from ..unseen_options import UnseenSettings

if TYPE_CHECKING:  # importing it loads torch, which a help text must not need
    from ..formats.format import ExportFormat

AVAILABLE = "[green]here[/]"


def _track(track: str | None) -> FlameTrack | None:
    motion = None if track is None else read_track(track)
    for note in motion.notes if motion else ():
        click.echo(note, err=True)
    return motion


TRACK = OptionGroup(
    "track",
    "Motion",
    (
        FormatOption(
            "--track",
            formats=("web", "glb", "usd", "usdz"),
            help="A motion (the file or folder of a track, or the word talk) that glb, usd and "
            "usdz hold as a clip, and that the page of web plays.",
        ),
    ),
    _track,
)


def _arkit_map(map: str | None) -> ExpressionMap | None:
    if map is None:
        return None
    if not Path(map).exists():
        raise UsageError(
            f"there is no map {map!r}: give a file that exists, as imavatar-data fit-map writes it"
        )
    return read_map(map)


ARKIT_MAP = OptionGroup(
    "arkit_map",
    "ARKit's shapes",
    (
        FormatOption(
            "--map",
            formats=("glb", "vrm", "usd", "usdz", "report"),
            metavar="FILE",
            help="A map of imavatar-data fit-map from ARKit's shapes to the avatar's head model. "
            "glb, vrm, usd and usdz of a FLAME avatar get ARKit's shapes by it, and its report "
            "shows a smile and a blink.",
        ),
    ),
    _arkit_map,
)


def _proof(proof_size: int, tolerances: Path | None, allow_drift: str | None) -> FidelitySettings:
    return FidelitySettings(proof_size, tolerances, allow_drift)


PROOF = OptionGroup(
    "proof",
    "Fidelity report",
    (
        FormatOption(
            "--proof-size",
            formats=(),
            type=int,
            default=FidelitySettings.size,
            help="Pixels a side of the frames on which every stage from the implicit render to the "
            "student is measured.",
        ),
        FormatOption(
            "--tolerances",
            formats=(),
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="TOML file that changes the limits of stages, as [baked] and below it psnr = 36.",
        ),
        FormatOption(
            "--allow-drift",
            formats=(),
            metavar="REASON",
            help="Write an avatar that misses a tolerance; the manifest records the reason.",
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
            formats=STUDENT_FORMATS,
            type=click.Choice([str(width) for width in WIDTHS]),
            default=str(WIDTHS[0]),
            help="Hidden width of the small network that renders on CPUs and on the web.",
        ),
        FormatOption(
            "--no-student",
            formats=STUDENT_FORMATS,
            is_flag=True,
            help="Leave the student out: no training, and shading by the full network alone.",
        ),
        FormatOption(
            "--student-steps",
            formats=STUDENT_FORMATS,
            type=click.IntRange(min=0),
            default=DEFAULT_STEPS,
            help="Training steps; raise the number for a student that misses its quality.",
        ),
    ),
    _student,
)


def _refine(
    refine: tuple[Path, ...],
    refine_steps: int,
    refine_size: int,
    refine_frames: str | None,
    refine_poses: bool,
    refine_seed: int,
) -> RefineSettings | None:
    if not refine:
        return None
    frames = frames_of(refine_frames) if refine_frames is not None else None
    return RefineSettings(refine, refine_steps, refine_size, frames, refine_poses, refine_seed)


REFINE = OptionGroup(
    "refine",
    "Refinement on images",
    (
        FormatOption(
            "--refine",
            formats=(),
            multiple=True,
            type=click.Path(path_type=Path),
            metavar="DATASET",
            help="Fit the student to the pictures of this dataset after it is distilled, which "
            "makes it sharper than the networks. Give the dataset of the training; several times "
            "for several videos. A tenth of the frames is held out, and a result that is not "
            "better there is left out. Takes a few minutes.",
        ),
        FormatOption(
            "--refine-steps",
            formats=(),
            type=click.IntRange(min=1),
            default=RefineSettings.steps,
            help="Steps of the refinement.",
        ),
        FormatOption(
            "--refine-size",
            formats=(),
            type=int,
            default=RefineSettings.size,
            help="Pixels a side to which larger pictures are reduced.",
        ),
        FormatOption(
            "--refine-frames",
            formats=(),
            metavar=FRAMES_METAVAR,
            help=f"Frames to use, {FRAMES_HELP}",
        ),
        FormatOption(
            "--refine-poses/--no-refine-poses",
            formats=(),
            default=RefineSettings.poses,
            help="Whether pose, expression and camera of each frame are refined, too, for the "
            "fit alone. It evens out an inexact tracking; about half a second a frame.",
        ),
        FormatOption(
            "--refine-seed",
            formats=(),
            type=int,
            default=RefineSettings.seed,
            help="Seed of the random choices; the same seed gives the same student.",
        ),
    ),
    _refine,
)


def _mesh(
    expressions: str, mesh_type: str, from_field: bool, mesh_colour: str, mesh_texture: int
) -> MeshSettings:
    return MeshSettings(expressions, mesh_type, from_field, mesh_colour, mesh_texture)


USD_FORMATS = tuple(DEFAULT_USD_COLOURS)


def _usd(usd_colour: str | None, usd_texture: int) -> UsdSettings:
    return UsdSettings(usd_colour, usd_texture)


USD = OptionGroup(
    "usd",
    "USD",
    (
        FormatOption(
            "--usd-colour",
            formats=USD_FORMATS,
            help=f"Colours of usd and usdz. {rows_help(USD_COLOURS)}.  "
            "[default: vertex for usd, texture for usdz]",
        ),
        FormatOption(
            "--usd-texture",
            formats=USD_FORMATS,
            default=UsdSettings.texture_size,
            help=f"Texels a side of --usd-colour texture: {', '.join(map(str, TEXTURE_SIZES))}.",
        ),
    ),
    _usd,
)


def _report(report_poses: str) -> ReportSettings:
    return ReportSettings(tuple(filter(None, report_poses.replace(" ", "").split(","))))


REPORT = OptionGroup(
    "report",
    "Report",
    (
        FormatOption(
            "--report-poses",
            formats=("report",),
            default=",".join(POSES),
            metavar="NAME,...",
            help="Faces and views that the page shows besides the reference frames: jaw opens the "
            "mouth by 0.1, 0.2 and 0.3 rad; quarter and profile show both sides.",
        ),
    ),
    _report,
)


def _unseen(seen_from: tuple[str, ...], keep_unseen: bool, keep_bust: bool) -> UnseenSettings:
    tracks = tuple(track for name in seen_from if (track := _track(name)) is not None)
    return UnseenSettings(not keep_unseen, not keep_bust, tracks)


UNSEEN = OptionGroup(
    "unseen",
    "What no camera saw",
    (
        FormatOption(
            "--seen-from",
            formats=(),
            multiple=True,
            metavar="TRACK",
            help="The training's data set or track, whose poses and cameras tell which surface was "
            "seen. By default a portrait video is assumed, in which the head turns by 34 degrees "
            "to both sides and 11 up and down. Several times for several videos.",
        ),
        FormatOption(
            "--keep-unseen",
            formats=(),
            is_flag=True,
            help="Keep what the networks make of surface that no training view shows. By default "
            "its shape continues along the head model, and its motion and colours continue those "
            "of the seen surface around it.",
        ),
        FormatOption(
            "--keep-bust",
            formats=(),
            is_flag=True,
            help="Keep the ragged lower edge of the shoulders. By default the bust is cut flat "
            "where the pictures of the training end, below all that they show.",
        ),
    ),
    _unseen,
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
            help="Expressions of the format mesh: a track, or JSON such as "
            '{"smile": {"expression": {"mouthSmileLeft": 1}, "pose": {"jaw": [0.2, 0, 0]}}}.',
        ),
        FormatOption(
            "--mesh-type",
            formats=("mesh",),
            default="ply",
            help=f"File type of the format mesh: {', '.join(MESH_TYPES)}.",
        ),
        FormatOption(
            "--from-field",
            formats=("mesh",),
            is_flag=True,
            help="Extract the meshes from the deformed field, one for each expression; this "
            "exports any variant of the networks.",
        ),
        FormatOption(
            "--mesh-colour",
            formats=("mesh",),
            default=MeshSettings.colour,
            help=f"Colours of the format mesh. {rows_help(MESH_COLOURS)}.",
        ),
        FormatOption(
            "--mesh-texture",
            formats=("mesh",),
            default=MeshSettings.texture_size,
            help=f"Texels a side of --mesh-colour texture: {', '.join(map(str, TEXTURE_SIZES))}.",
        ),
    ),
    _mesh,
)


OPSET = OptionGroup(
    "opset",
    "ONNX",
    (
        FormatOption(
            "--opset",
            formats=("onnx", "player", "triton"),
            type=int,
            default=18,
            help="ONNX opset of the graphs, 15 to 20; older ones are for engines without 18.",
        ),
    ),
    lambda opset: opset,
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


TARGETS = {row.name: ", ".join(row.targets) for row in FLAVOURS.values() if row.targets}

TRT = OptionGroup(
    "trt",
    "TensorRT",
    (
        _trt_option("--trt-flavour", "auto", f"Flavour of TensorRT: auto, {', '.join(FLAVOURS)}."),
        _trt_option("--trt-precision", "auto", f"Precision of engines. {rows_help(PRECISIONS)}."),
        _trt_option(
            "--trt-targets",
            "",
            f"Architectures to build for. {rows_help(TARGETS)}; "
            "tensorrt builds for the GPU of this machine.",
            "SM,...",
        ),
        _trt_option("--trt-compatibility", "none", f"Where plans run. {rows_help(COMPATIBILITY)}."),
    ),
    _trt,
)

WEB = OptionGroup(
    "web",
    "Web page",
    (
        FormatOption(
            "--web-camera",
            formats=("web",),
            type=click.Path(path_type=Path),
            metavar="FOLDER",
            help="Give the page of web a button that tracks the face before the camera, whose "
            "picture stays in the browser. FOLDER is node_modules/onnxruntime-web/dist after npm "
            "install onnxruntime-web. Adds 17 MB, which are loaded when the button is used. For "
            "avatars of OpenHead.",
        ),
    ),
    lambda web_camera: WebSettings(web_camera),
)

GROUPS = (
    PROOF,
    STUDENT,
    REFINE,
    TRACK,
    OPSET,
    ARKIT_MAP,
    gltf_options.GROUP,
    USD,
    MESH,
    REPORT,
    UNSEEN,
    WEB,
    TRT,
)


def options_of(name: str) -> list[str]:
    """Names of the options that apply to a format."""
    options = (option for group in GROUPS for option in group.options)
    return [
        option.opts[0]
        for option in options
        if isinstance(option, FormatOption) and name in option.formats
    ]


def format_table(rows: Iterable[ExportFormat]) -> Table:
    """Table of the formats: contents, requirements, options, availability."""
    table = Table("format", "contents", "needs", "options of its own", "", box=box.SIMPLE_HEAD)
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
    """`AVAILABLE`, or what is missing and how to install it; every module is imported."""
    missing = []
    for module in row.modules:
        try:
            require(module, extra=row.extra)
        except MissingDependencyError:
            missing.append(module)
    if not missing:
        return _readiness(row)
    return f"[yellow]without {', '.join(missing)}:[/] pip install 'imavatar-deploy\\[{row.extra}]'"


def _readiness(row: ExportFormat) -> str:
    from ..settings import ExportSettings

    try:
        row.ready(ExportSettings())
    except ImavatarError as error:
        return f"[yellow]{escape(str(error))}[/]"
    return AVAILABLE
