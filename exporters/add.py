"""Add formats to an avatar folder, without its checkpoint (`add_formats`)."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import imavatar_deploy
from imavatar_deploy.atomic import atomic_folder
from imavatar_deploy.avatar_io import MANIFEST, SAMPLE, AvatarFolder, open_avatar, write_manifest
from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.fidelity.draw import draw
from imavatar_deploy.fidelity.held_out_frames import is_refined
from imavatar_deploy.fidelity.reference_frames import REFERENCE_FILE, read_reference
from imavatar_deploy.fidelity.report import written_stages
from imavatar_deploy.fidelity.stage_metrics import (
    REFINED,
    TOLERANCES_FILE,
    StageReport,
    measure,
    read_tolerances,
)
from imavatar_deploy.progress import Progress, Say, quiet, silent
from imavatar_deploy.student import has_student

from .export import run_format
from .fidelity.options import tolerances
from .fidelity.stages import FIDELITY_STAGES, FORMAT_STAGES, STUDENT, StageInput
from .formats.format import ExportFormat, ExportInput
from .formats.table import FORMATS, ready_formats
from .formats.web.format import TRACK
from .manifest import graph_metadata
from .report import ExportReport
from .settings import ExportSettings
from .stored_avatar import StoredAvatar
from .student.options import StudentSettings
from .withhold import record_drift, withhold

APPLY = frozenset(
    (
        "formats",
        "overwrite",
        "track",
        "arkit_map",
        "glb",
        "usd",
        "mesh",
        "trt",
        "web",
        "proof",
        "synthetic_mark",
    )
)
"""Fields of `ExportSettings` that apply to an avatar folder; the others shape its bake."""

OPTIONS = {
    "keep_strays": "--keep-strays",
    "student": "--student, --student-steps, --no-student",
    "unseen": "--seen-from, --keep-unseen, --keep-bust",
    "proof": "--proof-size, --tolerances",
    "report": "--report-poses",
}
"""Field -> command-line options, where these are not `--FIELD`."""

COLOURS = ("glb", "vrm", "usd", "usdz", "fbx", "mesh")
"""Formats whose files hold colours."""

STUDENT_NOTE = (
    "the folder has no texture.onnx: the new files have the colours of its student, which is not "
    "refined on pictures"
)

MAP_NOTE = (
    "an avatar folder holds no head model: the blinks of --map stay as strong as the avatar has "
    "learned them, where an export of the checkpoint amplifies weak ones"
)


def add_formats(
    avatar: str | Path,
    out: str | Path | None = None,
    settings: ExportSettings | None = None,
    *,
    progress: Progress = silent,
    say: Say = quiet,
) -> ExportReport:
    """Add formats to an avatar folder, from its own arrays, graphs and student.

    Nothing is extracted or trained anew, so that it takes seconds in place of minutes. The folder
    is replaced when everything is written and checked, and stays as it is otherwise.

    Args:
        avatar: an avatar folder, as `export_avatar` writes it, or the word `sample`.
        out: a new folder, for a copy with the formats; the avatar folder itself when None.
        settings: the formats and their options; `ExportSettings(formats=("glb",))` when None.
            Options that shape the baked surface or the student must have their defaults.
        progress: shows how far a step is, such as `imavatar_deploy.progress.silent`.
        say: called with a line at the start of each step.

    Returns:
        What was measured of the new files. The manifest records it beside the measurements of the
        export, under `additions` with the date.

    Raises:
        UsageError: a format needs the checkpoint, is there already (`overwrite` replaces it), or a
            setting does not apply to a folder.
        InputError: the folder is not an avatar folder, or misses a file that a format needs.
        MissingDependencyError: a format needs a package that is not installed.
        EditionMismatchError: the track or the map was made for another head model.
        QualityError: a file does not hold what it should; the folder stays as it is.

    Example:
        >>> from imavatar_deploy.exporters import ExportSettings, add_formats
        >>> add_formats("avatar", settings=ExportSettings(formats=("glb", "usdz")))
    """
    if settings is None:
        settings = ExportSettings(formats=("glb",))
    report = ExportReport(say=say)
    with report.step("load"):
        folder = open_avatar(avatar)
    stored = StoredAvatar(folder)
    settings = _checked(settings, folder, stored)
    rows = _rows(settings, stored)
    for row in rows:
        row.ready(settings)
        row.refuse(stored, settings)
    in_place = out is None or Path(out).resolve() == folder.path.resolve()
    if in_place and folder.path == SAMPLE:
        raise UsageError("the bundled avatar stays as it is; choose a folder for its copy (--out)")
    if in_place or not settings.overwrite:
        _refuse_existing(rows, folder, settings.overwrite)
    report.notes += _lost_motions(folder, rows, settings)
    target = folder.path if out is None else Path(out)
    overwrite = in_place or settings.overwrite
    with atomic_folder(target, marker=MANIFEST, overwrite=overwrite) as partial:
        shutil.copytree(folder.path, partial, symlinks=True, dirs_exist_ok=True)
        _remove_outputs(partial, rows)
        facts = _write(partial, rows, stored, settings, report, progress)
        if report.problems():
            if settings.proof.allow_drift is None:
                withhold(partial, target, report)
            else:
                record_drift(report, settings.proof.allow_drift)
        with report.step("write"):
            write_manifest(partial, _manifest(folder.manifest, rows, facts, report))
    return report


def _checked(
    settings: ExportSettings, folder: AvatarFolder, stored: StoredAvatar
) -> ExportSettings:
    """The settings with the width of the folder's student, if every one of them applies."""
    default = ExportSettings()
    other = [
        field.name
        for field in fields(settings)
        if field.name not in APPLY and getattr(settings, field.name) != getattr(default, field.name)
    ]
    if other or replace(settings.proof, allow_drift=None) != default.proof:
        names = ", ".join(
            f"{name} ({OPTIONS.get(name, f'--{name}')})" for name in other or ["proof"]
        )
        raise UsageError(
            f"{folder.path} is baked already, and cannot be given another {names}: leave it out, "
            "or export the checkpoint"
        )
    if settings.mesh.from_field:
        raise UsageError(
            "mesh.from_field (--from-field) needs the networks, which an avatar folder does not "
            "hold: export the checkpoint"
        )
    if stored.student is None:
        return settings
    return replace(settings, student=StudentSettings(stored.student.width))


def _rows(settings: ExportSettings, stored: StoredAvatar) -> list[ExportFormat]:
    """Rows to write: the named formats, and those they are built from that need no checkpoint."""
    folder = stored.folder
    ready = ready_formats(settings.formats)
    impossible = [
        row.name for row in ready if row.name in settings.formats and row.folder_files is None
    ]
    if impossible:
        raise UsageError(
            f"the format {', '.join(impossible)} needs the networks, which an avatar folder does "
            f"not hold: export the checkpoint, or choose others with --format; {_possible(stored)}"
        )
    rows = [row for row in ready if row.folder_files is not None]
    for row in rows:
        missing = [name for name in row.folder_files or () if name not in folder.manifest["files"]]
        if missing:
            raise InputError(
                f"{folder.path} has no {', '.join(missing)}, of which {row.name} is made: export "
                f"the checkpoint with --format {row.name}; {_possible(stored)}"
            )
    colours = [row.name for row in rows if row.name in COLOURS]
    if colours and not _has_colours(stored):
        raise InputError(
            f"{folder.path} has neither texture.onnx nor a student, so that the colours of "
            f"{', '.join(colours)} are not known: export the checkpoint with "
            f"--format player,{','.join(colours)}"
        )
    return rows


def _has_colours(stored: StoredAvatar) -> bool:
    """Whether the folder knows the colours of its surface."""
    return stored.has_network or has_student(stored.folder)


def _possible(stored: StoredAvatar) -> str:
    """The formats that an avatar folder can get from its files, as the end of a message."""
    files, coloured = stored.folder.manifest["files"], _has_colours(stored)
    names = [
        row.name
        for row in FORMATS.values()
        if row.folder_files is not None
        and set(row.folder_files) <= set(files)
        and (coloured or row.name not in COLOURS)
    ]
    return f"{stored.folder.path} can get {', '.join(names) or 'no format'}"


def _lost_motions(
    folder: AvatarFolder, rows: Sequence[ExportFormat], settings: ExportSettings
) -> list[str]:
    """Sentences about files with a motion that are replaced by files without one."""
    if settings.track is not None:
        return []
    held = [row for row in rows if _holds_motion(folder, row.name)]
    return [
        f"{row.output} held a motion, and the new one holds none: repeat the command with "
        "--track TRACK --overwrite to write it again"
        for row in held
    ]


def _holds_motion(folder: AvatarFolder, name: str) -> bool:
    """Whether the folder's file of a format holds a clip, which is longer than one frame."""
    facts = folder.manifest.get("graphs", {}).get(name, {})
    return facts.get("frames", 0) > 1 or TRACK in facts.get("files", ())


def _refuse_existing(rows: Sequence[ExportFormat], folder: AvatarFolder, overwrite: bool) -> None:
    there = [row.output for row in rows if (folder.path / row.output).exists()]
    if there and not overwrite:
        raise UsageError(
            f"{folder.path} has {', '.join(there)} already; pass overwrite=True (--overwrite) to "
            "replace it"
        )


def _remove_outputs(folder: Path, rows: Sequence[ExportFormat]) -> None:
    for row in rows:
        path = folder / row.output
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _write(
    folder: Path,
    rows: Sequence[ExportFormat],
    stored: StoredAvatar,
    settings: ExportSettings,
    report: ExportReport,
    progress: Progress,
) -> dict[str, Any]:
    """Write and check the files of every format; returns their manifest entries."""
    subject = ExportInput(
        stored,
        stored,
        settings,
        graph_metadata(stored, stored.digest, settings.synthetic_mark),
        student=stored.student,
        refined=stored.student_colours,
    )
    coloured = any(row.name in COLOURS for row in rows)
    if coloured and not stored.has_network and not is_refined(stored.folder):
        report.notes.append(STUDENT_NOTE)
    if settings.arkit_map is not None:
        report.notes.append(MAP_NOTE)
    facts: dict[str, Any] = {}
    for row in rows:
        facts |= run_format(row, folder, subject, report, progress)
    for name in [row.stage or ("tensorrt" if row.name == "trt" else "") for row in rows]:
        if name:
            with report.step(f"compare {name}"):
                report.stages.append(_compare(name, folder, subject))
    return facts


def _compare(name: str, folder: Path, subject: ExportInput) -> StageReport:
    """Compare the images of a stage with those that the files of the folder draw."""
    stored = subject.source
    assert isinstance(stored, StoredAvatar)
    stage = next(stage for stage in (*FIDELITY_STAGES, *FORMAT_STAGES) if stage.name == name)
    student = STUDENT in stage.after
    start = (REFINED if is_refined(stored.folder) else STUDENT) if student else stage.after[-1]
    if REFERENCE_FILE not in stored.folder.manifest["files"]:
        return StageReport(name, start, name, not_run=f"the folder has no {REFERENCE_FILE}")
    reference = read_reference(folder / REFERENCE_FILE)
    inputs = StageInput(subject, replace(stored.folder, path=folder), reference)
    if reason := stage.obstacle(inputs):
        return StageReport(name, start, name, not_run=reason)
    before = draw(inputs.folder, reference, "student" if student else "pixel")
    measures = measure(before, stage.draw(inputs), reference.mouths)
    stored_limits = read_tolerances(folder / TOLERANCES_FILE)
    limits = stored_limits.get(name, tolerances().get(name, {}))
    return StageReport(name, start, name, measures, limits)


def _manifest(
    old: Mapping[str, Any],
    rows: Sequence[ExportFormat],
    facts: Mapping[str, Any],
    report: ExportReport,
) -> dict[str, Any]:
    """The manifest with what was measured now in place of what was measured of replaced files."""
    new = report.as_dict()
    before = old.get("fidelity", {})
    names = [row.name for row in rows]
    fidelity = {**before}
    for key in ("losses_mm", "losses_rgb"):
        kept = {
            name: loss
            for name, loss in before.get(key, {}).items()
            if name.partition(":")[0] not in names
        }
        fidelity[key] = kept | new[key]
    fidelity["parity"] = _merged(before.get("parity", ()), new["parity"], "subject")
    if stages := _merged(written_stages(before), new.get("stages", ()), "stage"):
        fidelity["stages"] = stages
    fidelity.pop("waterfall", None)  # the name of the list until version 0.2
    fidelity["notes"] = list(dict.fromkeys((*before.get("notes", ()), *new["notes"])))
    if "drift" in new:
        earlier = before.get("drift", {}).get("misses", "")
        misses = "; ".join(filter(None, (earlier, new["drift"]["misses"])))
        fidelity["drift"] = new["drift"] | {"misses": misses}
    addition = {
        "formats": names,
        "date": datetime.now(timezone.utc).date().isoformat(),
        "imavatar-deploy": imavatar_deploy.__version__,
        "seconds": new["seconds"],
    }
    return {
        **old,
        "graphs": {**old.get("graphs", {}), **facts},
        "fidelity": fidelity,
        "additions": [*old.get("additions", ()), addition],
    }


def _merged(
    old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]], key: str
) -> list[Mapping[str, Any]]:
    """Entries of both, the new ones in place of old ones with the same value of `key`."""
    replaced = {entry[key] for entry in new}
    return [*(entry for entry in old if entry[key] not in replaced), *new]
