"""From a checkpoint of any variant to meshes alone, where there is nothing to bake or nobody wants it baked."""

from __future__ import annotations

from pathlib import Path

from imavatar_deploy.atomic import atomic_folder
from imavatar_deploy.model import load_variant
from imavatar_deploy.model.checkpoint import checkpoint_sha256
from imavatar_deploy.progress import Progress, Say, quiet, silent

from .licences import licence_report, write_licence
from .mesh_format import INDEX, mesh_notes, posed_by, write_meshes
from .report import Report
from .settings import Settings


def export_field_meshes(
    source: str | Path,
    out: str | Path,
    settings: Settings,
    *,
    progress: Progress = silent,
    say: Say = quiet,
) -> Report:
    """Write the meshes that `settings` ask for into the folder `out`, which appears whole or not at all.

    Args:
        source: as `export.export_avatar`, and of any variant.
        out: the folder to be written: `meshes/` with its index, and `LICENCE.txt`.
        say: takes a line at the start of each step, with the time since the beginning.

    Raises:
        UsageError: `out` cannot be written.
        InputError: the checkpoint or the file of expressions cannot be read, or there is no surface.
    """
    report = Report(say=say)
    with atomic_folder(out, marker=INDEX, overwrite=settings.overwrite) as folder:
        with report.step("load"):
            model = load_variant(source, edition=settings.edition)
        with report.step("mesh"):
            write_licence(folder, licence_report(model.edition, model.provenance, checkpoint_sha256(source)))
            write_meshes(folder, model, posed_by(model, None, settings), settings, progress)
        report.notes += mesh_notes(folder)
    return report
