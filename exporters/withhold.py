"""What becomes of an avatar that misses a limit: withheld, or written with a record of it."""

from __future__ import annotations

import json
import shutil
from datetime import datetime, timezone
from pathlib import Path

from imavatar_deploy.atomic import atomic_folder
from imavatar_deploy.errors import QualityError

from .fidelity.failure_images import SHEET
from .fidelity.stages import FIDELITY_STAGES
from .report import ExportReport

REPORT = "report.json"


def withhold(folder: Path, out: Path, report: ExportReport) -> None:
    """Keep what was written so far, with pictures of the misses, in `OUT.rejected`.

    Raises:
        QualityError: always; its message says what differs, where to look, and what to do.
    """
    kept = out.with_name(f"{out.name}.rejected")
    with atomic_folder(kept, marker=REPORT, overwrite=True) as rejected:
        shutil.copytree(folder, rejected, dirs_exist_ok=True)
        text = json.dumps(report.as_dict(), indent=2) + "\n"
        (rejected / REPORT).write_text(text, encoding="utf-8")
    missed = {stage.name for stage in report.waterfall if stage.misses()}
    pictures = f"Look at {kept / SHEET}, which shows the worst frames" if missed else ""
    sentences = [
        f"{out} is withheld: {report.problems()}",
        pictures,
        *(stage.advice for stage in FIDELITY_STAGES if stage.name in missed),
        f"What was written so far and {REPORT} are in {kept}",
        "Only where the misses do not matter, --allow-drift REASON writes the avatar with them",
    ]
    raise QualityError(". ".join(filter(None, sentences)))


def record_drift(report: ExportReport, reason: str) -> None:
    """Note in the report why an avatar is written in spite of its misses."""
    today = datetime.now(timezone.utc).date().isoformat()
    report.drift |= {"reason": reason, "date": today, "misses": report.problems()}
    report.notes.append(f"written in spite of its misses ({reason}): {report.problems()}")
