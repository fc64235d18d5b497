"""Export a checkpoint: to an avatar folder (`export_avatar`), or to meshes (`export_field_meshes`).

An avatar that misses a tolerance is not written to the requested folder; see `withhold`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from imavatar_deploy.atomic import atomic_folder
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.avatar_io import MANIFEST, write_avatar
from imavatar_deploy.errors import EditionMismatchError, UsageError
from imavatar_deploy.fidelity.held_out_frames import REFINED_SHEET
from imavatar_deploy.model import (
    HeadAvatarModel,
    ImplicitAvatar,
    load_checkpoint,
    load_variant,
    save_checkpoint,
)
from imavatar_deploy.model.checkpoint import checkpoint_sha256
from imavatar_deploy.model.surface.extract import field_of
from imavatar_deploy.model.surface.field import Field
from imavatar_deploy.model.surface.mesh import Mesh
from imavatar_deploy.progress import Progress, Say, quiet, silent
from imavatar_deploy.student import Student
from imavatar_deploy.tracks import check_edition

from .bake import Bake, bake, shape_of
from .bust import bounded_field
from .fidelity.options import tolerances
from .fidelity.run import FidelityRun, Limits
from .formats.format import ExportFormat, ExportInput
from .formats.mesh import INDEX, mesh_notes, posed_by, write_meshes
from .formats.table import ready_formats
from .lids import FACE_SHARE, refine_lids
from .manifest import about, graph_metadata, licence_report, write_licence
from .mesh_cleanup import canonical_points, extract_surface, polish, simplify, stray_notes
from .mesh_edges import without_slivers
from .parts import PART_CHOICES, PARTS
from .parts.build import NO_OPENING, open_skin, parts_obstacle, skin_budget
from .parts.fit_mouth import fit_mouth
from .parts.opening import Opening
from .parts.part_mesh import PartMesh
from .parts.pictures import NO_OPEN_MOUTH, MouthPictures, labelled_outline
from .refine.options import RefineSettings
from .refine.refine import open_pictures, refine_student
from .refine.sheet import write_sheet
from .report import ExportReport
from .seen_bounds import bust_bounds, bust_notes
from .settings import MIN_FACES, ExportSettings
from .student.format import check_student
from .student.options import StudentSettings
from .student.train import train_student
from .unseen import UnseenSurface, assumed_views, unseen_notes, unseen_surface, views_of
from .withhold import record_drift, withhold

IN_MEMORY = "a model in memory"
"""Name of the source, in the manifest, of a model that was not read from a file."""


def export_avatar(
    source: str | Path | HeadAvatarModel,
    out: str | Path,
    settings: ExportSettings | None = None,
    *,
    progress: Progress = silent,
    say: Say = quiet,
) -> ExportReport:
    """Bake a checkpoint into the avatar folder `out`, which appears whole or not at all.

    Every graph is compared with the networks, and every stage as images; see `ExportReport`.

    Args:
        source: a checkpoint folder, a training run, an IMavatar run folder or `.pth` in the
            published layout, the word `sample`, or a loaded model, which stays as it is.
        out: the folder to write. Settings that ask for meshes of the deformed field alone
            (`formats=("mesh",)`, `MeshSettings(from_field=True)`) write no avatar but
            `OUT/meshes/`, and take a model of any variant.
        settings: formats, faces, resolution and so on; `ExportSettings()` when None.
        progress: shows how far a step is, such as `imavatar_deploy.progress.silent`.
        say: called with a line at the start of each step, with the time since the beginning.

    Returns:
        What was measured, with the time of each step. Lengths are in model units (4 a metre),
        PSNR in dB, angles in degrees.

    Raises:
        UsageError: a name is unknown, an argument has another type or `out` cannot be written;
            raised before the long work.
        MissingDependencyError: a format needs a package that is not installed; likewise.
        InputError: the checkpoint cannot be read, or has no surface.
        EditionMismatchError: a track or the model was made for another head model.
        QualityError: a graph or a stage misses its tolerance, or the student its quality, and
            `settings.proof.allow_drift` gives no reason to write it all the same. `OUT.rejected`
            then holds what was written, and images of the worst frames. What takes seconds to
            measure is measured before the student's training.

    Example:
        >>> from imavatar_deploy.exporters import ExportSettings, export_avatar
        >>> settings = ExportSettings(formats=("player",), faces=20_000)
        >>> report = export_avatar("sample", "avatar", settings, say=print)
        >>> report.problems(), report.seconds  # "" when all is well; step -> seconds
    """
    if settings is None:
        settings = ExportSettings()
    if not isinstance(settings, ExportSettings):
        raise UsageError(f"settings must be ExportSettings or None, got {type(settings).__name__}")
    if settings.field_alone:
        return export_field_meshes(source, out, settings, progress=progress, say=say)
    report = ExportReport(say=say)
    formats = ready_formats(settings.formats)
    limits = tolerances(settings.proof.tolerances)
    for row in formats:
        row.ready(settings)
    with atomic_folder(out, marker=MANIFEST, overwrite=settings.overwrite) as folder:
        with report.step("load"):
            avatar, name, digest = _open_source(source, settings.edition, load_checkpoint)
        for track in settings.unseen.seen_from:
            check_edition(track.edition, avatar.edition)
        for row in formats:
            row.refuse(avatar, settings)
        if settings.refine is not None:
            open_pictures(settings.refine, avatar.edition)
        baked = bake_surface(avatar, settings, report, progress)
        subject = ExportInput(
            avatar, baked, settings, graph_metadata(avatar, digest, settings.synthetic_mark)
        )
        job = _Job(folder, Path(out), formats, report, progress)
        facts = job.write_all(subject, limits)
        with report.step("write"):
            manifest = about(name, digest, avatar, report, facts, settings.synthetic_mark)
            write_licence(folder, manifest["licences"])
            write_avatar(folder, baked.avatar, about=manifest, storage=settings.storage)
    return report


SHORTEST_EDGE = 0.002
"""Length below which an edge of the simplified surface is contracted, model units (0.5 mm).

Rounding displacements to float16 turned normals at shorter edges of the bundled sample by up to
1.6 degrees, and by half a degree at those that are left.
"""

UNUSED_SHARE = 0.02
"""Share of a face budget that the reserve for lids may leave unused."""

Model = TypeVar("Model", bound=HeadAvatarModel)


def _open_source(
    source: str | Path | HeadAvatarModel, edition: str | None, load: Callable[..., Model]
) -> tuple[Model, Path, str]:
    """The model of a source, its name, and the SHA-256 of its tensors as a checkpoint holds them.

    Args:
        load: reads a checkpoint folder; refuses variants that it does not know.
    """
    if not isinstance(source, HeadAvatarModel):
        return load(source, edition=edition), Path(source), checkpoint_sha256(source)
    if edition not in (None, source.edition):
        raise EditionMismatchError(
            f"the model was made for {source.edition} and the settings say edition={edition!r}: "
            "leave the edition out"
        )
    with TemporaryDirectory() as folder:
        stored = Path(folder) / "checkpoint"
        save_checkpoint(copy.deepcopy(source).cpu().float(), stored)
        return load(stored), Path(IN_MEMORY), checkpoint_sha256(stored)


def bake_surface(
    avatar: ImplicitAvatar,
    settings: ExportSettings,
    report: ExportReport,
    progress: Progress = silent,
) -> Bake:
    """Extract, polish, simplify and bake the surface; add the measurements to `report`."""
    with report.step("extract"):
        bounds = bust_bounds(avatar, settings, progress)
        field = bounded_field(field_of(avatar), bounds)
        cleaned = extract_surface(field, canonical_points(avatar.head), settings, progress)
    evaluations = field.evaluations
    with report.step("polish"):
        mesh, gain = polish(cleaned.mesh, field, progress=progress)
    obstacle = parts_obstacle(avatar.head, settings)
    budget = settings.faces if obstacle else skin_budget(settings)
    with report.step("simplify"):
        mesh, lid_faces = _reduced(mesh, avatar, field, budget)
        mesh = without_slivers(mesh, SHORTEST_EDGE)
    pictures = None if obstacle else _mouth_pictures(avatar, settings, report, progress)
    labelled, fit = None, None
    if pictures is not None:
        labelled = partial(_labelled_outline, avatar, pictures)
        fit = partial(_fit_mouth, report, pictures, progress)
    openings = None
    if not obstacle:
        openings = open_skin(mesh, avatar, field, settings.parts, labelled)
    if openings is None and PART_CHOICES[settings.parts]:
        report.notes.append(f"no parts of the mouth were added: {obstacle or NO_OPENING}")
    with report.step("bake"):
        fill = partial(_unseen, settings, progress) if settings.unseen.fill else None
        baked = bake(
            avatar,
            mesh if openings is None else openings.mesh,
            field=field,
            fill=fill,
            openings=openings,
            fit=fit,
            progress=progress,
        )
    report.notes += stray_notes(cleaned) + unseen_notes(baked.filled, settings.unseen)
    report.notes += bust_notes(mesh, bounds, settings.unseen)
    report.surface |= {
        "resolution": settings.resolution,
        "evaluations": evaluations,
        "faces_extracted": cleaned.extracted,
        "stray_pieces": len(cleaned.strays),
        "stray_faces": sum(part.faces for part in cleaned.strays),
        "faces": len(baked.avatar.faces),
        "lid_faces": lid_faces,
        "vertices": baked.avatar.vertex_count,
        "parts": {
            name: int((baked.parts == number).sum()) for number, name in enumerate(PARTS, start=1)
        },
        "filled_vertices": int(baked.filled.sum()),
        "off_surface_median": gain.median,
        "off_surface_p99": gain.p99,
        "texture_code_size": len(baked.code.decode),
        "texture_code_loss": baked.code.loss,
    }
    return baked


def _mouth_pictures(
    avatar: ImplicitAvatar, settings: ExportSettings, report: ExportReport, progress: Progress
) -> MouthPictures | None:
    """The pictures of an open mouth in the dataset of a refinement; None where there are none."""
    if settings.refine is None or "mouth" not in PART_CHOICES[settings.parts]:
        return None
    with report.step("mouth"):
        pictures = MouthPictures.load(open_pictures(settings.refine, avatar.edition), progress)
    if pictures is None:
        report.notes.append(NO_OPEN_MOUTH)
    return pictures


def _labelled_outline(
    avatar: ImplicitAvatar, pictures: MouthPictures, mesh: Mesh, usual: Opening
) -> Opening | None:
    """The outline of the mouth that labels show on a closed surface."""
    return labelled_outline(shape_of(avatar, mesh), pictures, usual)


def _fit_mouth(
    report: ExportReport,
    pictures: MouthPictures,
    progress: Progress,
    shape: Avatar,
    parts: PartMesh,
) -> PartMesh:
    """Parts that are fitted to pictures; `report` takes what was measured."""
    fitted = fit_mouth(shape, parts, pictures, progress)
    report.surface["mouth"] = fitted.facts
    report.notes.append(fitted.note)
    return fitted.parts


def _reduced(
    mesh: Mesh, avatar: ImplicitAvatar, field: Field, faces: int | None
) -> tuple[Mesh, int]:
    """The mesh within a budget of faces, with finer lids, and the number of faces they took."""
    if faces is None:
        finer = refine_lids(mesh, avatar, field, None)
        return finer, len(finer.faces) - len(mesh.faces)
    reserve = round(FACE_SHARE * faces)
    reduced, finer = _with_reserve(mesh, avatar, field, faces, reserve)
    used = len(finer.faces) - len(reduced.faces)
    if len(reduced.faces) < len(mesh.faces) and used < reserve - UNUSED_SHARE * faces:
        reduced, finer = _with_reserve(mesh, avatar, field, faces, used)
    return finer, len(finer.faces) - len(reduced.faces)


def _with_reserve(
    mesh: Mesh, avatar: ImplicitAvatar, field: Field, faces: int, reserve: int
) -> tuple[Mesh, Mesh]:
    """The mesh reduced to a budget less a reserve, and that with finer lids."""
    reduced = simplify(mesh, max(MIN_FACES, faces - reserve))
    return reduced, refine_lids(reduced, avatar, field, faces)


def _unseen(settings: ExportSettings, progress: Progress, avatar: Avatar) -> UnseenSurface:
    """The surface of an avatar that no view of the settings shows."""
    tracks = settings.unseen.seen_from
    views = views_of(tracks, avatar) if tracks else assumed_views(avatar)
    return unseen_surface(avatar, views, progress)


@dataclass(frozen=True)
class _Job:
    """Writes and checks the files of one export; quick checks come before slow steps."""

    folder: Path
    out: Path
    formats: Sequence[ExportFormat]
    report: ExportReport
    progress: Progress

    def write_all(self, subject: ExportInput, limits: Limits) -> dict[str, Any]:
        """Write every format, the student last; return the manifest entries of the files.

        Raises:
            QualityError: a tolerance is missed, and the settings give no reason to write the
                avatar nevertheless.
        """
        stages = self._stages(subject, limits)
        self._compare(stages, ("baked",), subject)
        self._stop_at_misses(stages, subject)
        later = [row for row in self.formats if _is_later(row, subject.settings)]
        facts = self._write([row for row in self.formats if row not in later], subject)
        self._compare(stages, ("onnx", "tensorrt"), subject)
        self._stop_at_misses(stages, subject)
        student_formats = [row for row in self.formats if row.takes_student]
        refine = subject.settings.refine
        if subject.settings.student is not None and (student_formats or refine):
            subject = replace(subject, student=self._train(subject, subject.settings.student))
            if student_formats:
                facts |= self._write_student(student_formats, subject)
        self._compare(stages, ("student",), subject)
        if refine is not None:
            self._stop_at_misses(stages, subject)
            subject = self._refine(stages, student_formats, subject, refine)
        facts |= self._write(later, subject)
        self._compare(stages, [row.stage for row in self.formats if row.stage], subject)
        self._stop_at_misses(stages, subject)
        if stages is not None:
            stages.write_page(subject)
        if (reason := subject.settings.proof.allow_drift) and self.report.problems():
            record_drift(self.report, reason)
        return facts

    def _stages(self, subject: ExportInput, limits: Limits) -> FidelityRun | None:
        """The comparison of images; None where no format can be rendered by the player."""
        if not any(row.playable for row in self.formats):
            return None
        run = FidelityRun(
            self.folder, subject, limits, self.report.step, self.progress, self.out.name
        )
        self.report.notes += run.notes()
        return run

    def _compare(
        self, stages: FidelityRun | None, names: Sequence[str], subject: ExportInput
    ) -> None:
        if stages is not None:
            self.report.stages += [stages.compare(name, subject) for name in names]

    def _stop_at_misses(self, stages: FidelityRun | None, subject: ExportInput) -> None:
        if self.report.problems() and subject.settings.proof.allow_drift is None:
            if stages is not None:
                stages.write_page(subject)
            withhold(self.folder, self.out, self.report)

    def _write(self, formats: Sequence[ExportFormat], subject: ExportInput) -> dict[str, Any]:
        facts: dict[str, Any] = {}
        for row in formats:
            facts |= run_format(row, self.folder, subject, self.report, self.progress)
        return facts

    def _train(self, subject: ExportInput, settings: StudentSettings) -> Student:
        with self.report.step("train student"):
            result = train_student(
                subject.networks,
                subject.network_bake,
                width=settings.width,
                steps=settings.steps,
                progress=self.progress,
            )
        self.report.student |= result.facts
        self.report.parity.append(result.report)
        return result.student

    def _refine(
        self,
        stages: FidelityRun | None,
        formats: Sequence[ExportFormat],
        subject: ExportInput,
        settings: RefineSettings,
    ) -> ExportInput:
        """Refine the student; write it where it is better than the distilled one."""
        assert subject.student is not None  # the settings require one
        with self.report.step("refine student"):
            result = refine_student(
                subject.networks,
                subject.bake.avatar,
                subject.student,
                settings,
                stored_size=subject.settings.proof.size,
                held=subject.network_bake.filled,
                progress=self.progress,
            )
        self.report.refinement |= result.facts
        self.report.notes.append(result.note)
        write_sheet(self.folder / REFINED_SHEET, result.sheet, subject.settings.synthetic_mark)
        if not result.better:
            return subject
        refined = replace(subject, student=result.student, refined=True)
        if not formats:
            return refined
        if stages is not None:
            stages.hold_out(result.held_out, subject)
        self._write_student(formats, refined)
        if stages is not None:
            self.report.stages.append(stages.compare_refined(refined))
        return refined

    def _write_student(
        self, formats: Sequence[ExportFormat], subject: ExportInput
    ) -> dict[str, Any]:
        facts: dict[str, Any] = {}
        with self.report.step("student"):
            for row in formats:
                facts |= row.write_student(self.folder, subject, self.progress)
        with self.report.step("check student"):
            self.report.parity += check_student(self.folder)
        return facts


def run_format(
    row: ExportFormat,
    folder: Path,
    subject: ExportInput,
    report: ExportReport,
    progress: Progress,
) -> Mapping[str, Any]:
    """Write the files of a format, except the student's, and check them.

    Returns:
        Their manifest entries.
    """
    with report.step(row.name):
        entries = row.write(folder, subject, progress)
        report.losses_mm |= _losses(entries, "losses_mm")
        report.losses_rgb |= _losses(entries, "losses_rgb")
    with report.step(f"check {row.name}"):
        report.parity += row.check(folder)
    report.notes += row.notes(folder)
    return entries


def _is_later(row: ExportFormat, settings: ExportSettings) -> bool:
    """Whether a format is written when the student is finished."""
    return row.after_student or (settings.refine is not None and row.bakes_colours)


def _losses(entries: Mapping[str, Any], key: str) -> dict[str, float]:
    """What a format cannot represent, from its manifest entries."""
    losses = {name: fact.get(key, {}) for name, fact in entries.items()}
    return {
        f"{name}: {limit}": loss for name, each in losses.items() for limit, loss in each.items()
    }


def export_field_meshes(
    source: str | Path | HeadAvatarModel,
    out: str | Path,
    settings: ExportSettings,
    *,
    progress: Progress = silent,
    say: Say = quiet,
) -> ExportReport:
    """Write meshes of the deformed field into the folder `out`, without baking an avatar.

    This exports a checkpoint of any variant. The folder is written atomically: it is complete or
    does not exist.

    Args:
        source: as for `export_avatar`, and of any variant.
        out: the folder to write: `meshes/` with its index, and `LICENCE.txt`.
        settings: expressions, mesh type and extraction.
        progress: shows how far long work is.
        say: takes one line at the start of each step, with the time since the start.

    Raises:
        UsageError: `out` cannot be written.
        InputError: the checkpoint or the file of expressions cannot be read, or the checkpoint
            has no surface.
    """
    report = ExportReport(say=say)
    with atomic_folder(out, marker=INDEX, overwrite=settings.overwrite) as folder:
        with report.step("load"):
            model, _, digest = _open_source(source, settings.edition, load_variant)
        with report.step("mesh"):
            write_licence(folder, licence_report(model.edition, model.provenance, digest))
            write_meshes(folder, model, posed_by(model, None, settings), settings, progress)
        report.notes += mesh_notes(folder)
    return report
