"""From a checkpoint to an avatar folder, step by step; one that misses its parity is withheld."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from imavatar_deploy.atomic import atomic_folder
from imavatar_deploy.avatar_io import MANIFEST, write_avatar
from imavatar_deploy.errors import QualityError
from imavatar_deploy.model import ImplicitAvatar, load_checkpoint
from imavatar_deploy.model.checkpoint import checkpoint_sha256
from imavatar_deploy.model.surface.extract import field_of
from imavatar_deploy.progress import Progress, silent
from imavatar_deploy.student import Student

from .bake import Bake, bake
from .format import ExportFormat, Subject
from .formats import ready_formats
from .licences import write_licence
from .manifest import about, graph_metadata
from .polish import polish
from .progress_lines import Say, quiet
from .report import Report
from .settings import Settings
from .simplify import simplify
from .stray_parts import canonical_points, extract_surface, stray_notes
from .student import train_student
from .waterfall.run import is_playable, run_waterfall
from .waterfall.tolerances import tolerances

EVIDENCE = "report.json"


def export_avatar(
    source: str | Path,
    out: str | Path,
    settings: Settings | None = None,
    *,
    progress: Progress = silent,
    say: Say = quiet,
) -> Report:
    """Bake the checkpoint at `source` into an avatar folder at `out`, which appears whole or not at all.

    Args:
        source: a checkpoint folder, an official run folder or `.pth`, or the word `sample`.
        out: the folder to be written.
        say: takes a line at the start of each step, with the time since the beginning.

    Raises:
        UsageError: a name is unknown or `out` cannot be written; found before the long work.
        MissingDependencyError: a format needs a package that is not there; likewise.
        InputError: the checkpoint cannot be read, or has no surface.
        EditionMismatchError: a track was made for another head model.
        QualityError: a graph or a hop of the waterfall misses its tolerance, or the student its quality, and no reason
            was given to write it all the same; `OUT.rejected` then holds the evidence.
    """
    settings, report = settings or Settings(), Report(say=say)
    formats, limits = ready_formats(settings.formats), tolerances(settings.proof.tolerances)
    for row in formats:
        row.ready(settings)
    with atomic_folder(out, marker=MANIFEST, overwrite=settings.overwrite) as folder:
        with report.step("load"):
            avatar, digest = load_checkpoint(source, edition=settings.edition), checkpoint_sha256(source)
        for row in formats:
            row.refuse(avatar, settings)
        baked = bake_surface(avatar, settings, report, progress)
        student = None
        if settings.student is not None and any(row.takes_student for row in formats):
            student = _train_student(avatar, baked, settings.student.width, settings.student.steps, report, progress)
        subject = Subject(avatar, baked, settings, graph_metadata(avatar, digest), student)
        graphs = _write_formats(folder, formats, subject, report, progress)
        if is_playable(folder):
            with report.step("waterfall"):
                report.waterfall += run_waterfall(folder, subject, limits, progress)
        if report.problems():
            _withhold_or_record(folder, Path(out), settings.proof.allow_drift, report)
        with report.step("write"):
            facts = about(Path(source), digest, avatar, report, graphs)
            write_licence(folder, facts["licences"])
            write_avatar(folder, subject.bake.avatar, about=facts, storage=settings.storage)
    return report


def bake_surface(avatar: ImplicitAvatar, settings: Settings, report: Report, progress: Progress = silent) -> Bake:
    """Extract, polish, simplify and bake; what is measured goes into `report`."""
    field = field_of(avatar)
    with report.step("extract"):
        cleaned = extract_surface(field, canonical_points(avatar.head), settings, progress)
    evaluations = field.evaluations
    with report.step("polish"):
        mesh, gain = polish(cleaned.mesh, field, progress=progress)
    with report.step("simplify"):
        mesh = mesh if settings.faces is None else simplify(mesh, settings.faces)
    with report.step("bake"):
        baked = bake(avatar, mesh, progress=progress)
    report.notes += stray_notes(cleaned)
    report.surface |= {
        "resolution": settings.resolution,
        "evaluations": evaluations,
        "faces_extracted": cleaned.extracted,
        "stray_pieces": len(cleaned.strays),
        "stray_faces": sum(part.faces for part in cleaned.strays),
        "faces": len(mesh.faces),
        "vertices": len(mesh.vertices),
        "off_surface_median": gain.median,
        "off_surface_p99": gain.p99,
        "texture_code_size": len(baked.code.decode),
        "texture_code_loss": baked.code.loss,
    }
    return baked


def _train_student(
    avatar: ImplicitAvatar, baked: Bake, width: int, steps: int, report: Report, progress: Progress
) -> Student:
    with report.step("train student"):
        trained = train_student(avatar, baked, width=width, steps=steps, progress=progress)
    report.student |= trained.facts
    report.parity.append(trained.report)
    return trained.student


def _write_formats(
    folder: Path, formats: list[ExportFormat], subject: Subject, report: Report, progress: Progress
) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for row in formats:
        with report.step(row.name):
            told = row.write(folder, subject, progress)
            facts |= told
            report.losses_mm |= _losses(told)
        with report.step(f"check {row.name}"):
            report.parity += row.check(folder)
        report.notes += row.notes(folder)
    return facts


def _losses(told: Mapping[str, Any]) -> dict[str, float]:
    """What a format's files lose by their nature, from what it tells of them."""
    return {f"{name}: {what}": mm for name, fact in told.items() for what, mm in fact.get("losses_mm", {}).items()}


def _withhold_or_record(folder: Path, out: Path, reason: str | None, report: Report) -> None:
    """A reason given beforehand lets a folder with misses pass; the manifest then tells of both."""
    if reason is None:
        _withhold(folder, out, report)
    else:
        today = datetime.now(timezone.utc).date().isoformat()
        report.drift |= {"reason": reason, "date": today, "misses": report.problems()}
        report.notes.append(f"written in spite of its misses ({reason}): {report.problems()}")


def _withhold(folder: Path, out: Path, report: Report) -> None:
    """Keep what was found, and what it was found in, beside the place of the folder that is not written."""
    evidence = out.with_name(f"{out.name}.rejected")
    with atomic_folder(evidence, marker=EVIDENCE, overwrite=True) as rejected:
        shutil.copytree(folder, rejected, dirs_exist_ok=True)
        (rejected / EVIDENCE).write_text(json.dumps(report.as_dict(), indent=2) + "\n", encoding="utf-8")
    raise QualityError(f"{out} is withheld: {report.problems()}; the evidence is in {evidence}")
