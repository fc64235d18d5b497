"""An avatar that misses a tolerance: withhold it, or write it with a record of the misses."""

from __future__ import annotations

import json
import shutil
from datetime import datetime, timezone
from pathlib import Path

from imavatar_deploy.atomic import atomic_folder
from imavatar_deploy.errors import QualityError

from .fidelity.failure_images import SHEET
from .fidelity.stages import FIDELITY_STAGES, FORMAT_STAGES
from .report import ExportReport

REPORT = "report.json"


def withhold(folder: Path, out: Path, report: ExportReport) -> None:
    """Write the files of a failed export, with failure images, to `OUT.rejected`.

    Args:
        folder: the files written so far.
        out: the requested folder, which is not written.
        report: measurements of the export.

    Raises:
        QualityError: always; its message names the misses, the failure images and the remedies.
    """
    rejected = out.with_name(f"{out.name}.rejected")
    with atomic_folder(rejected, marker=REPORT, overwrite=True) as partial:
        shutil.copytree(folder, partial, dirs_exist_ok=True)
        text = json.dumps(report.as_dict(), indent=2) + "\n"
        (partial / REPORT).write_text(text, encoding="utf-8")
    missed = {stage.name for stage in report.stages if stage.misses()}
    pictures = f"Look at {rejected / SHEET}, which shows the worst frames" if missed else ""
    sentences = [
        f"{out} is withheld: {report.problems()}",
        pictures,
        *(stage.advice for stage in (*FIDELITY_STAGES, *FORMAT_STAGES) if stage.name in missed),
        f"The files written so far and {REPORT} are in {rejected}",
        "If the misses do not matter, proof.allow_drift=REASON (--allow-drift REASON) writes the "
        "avatar with them",
    ]
    raise QualityError(". ".join(filter(None, sentences)))


def record_drift(report: ExportReport, reason: str) -> None:
    """Record in the report why an avatar is written in spite of its misses."""
    today = datetime.now(timezone.utc).date().isoformat()
    report.drift |= {"reason": reason, "date": today, "misses": report.problems()}
    report.notes.append(f"written in spite of its misses ({reason}): {report.problems()}")
