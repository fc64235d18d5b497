"""The format `report`: the pictures of the fidelity report as a page, side by side.

`FidelityRun.write_page` writes it after every stage, since the last one draws the finished files.
This row only names the format and what it needs.
"""

from __future__ import annotations

from pathlib import Path

from imavatar_deploy.errors import UsageError

from ...settings import ExportSettings
from ..arkit_shapes import check_map
from ..format import ExportFormat
from .page import FOLDER, PAGE

NAME = "report"


def _ready(settings: ExportSettings) -> None:
    if settings.student is None:
        raise UsageError(
            "the format report shows the student, and student=None (--no-student) leaves it out; "
            "give one of them"
        )


def _notes(folder: Path) -> list[str]:
    return [f"{FOLDER}/{PAGE} shows the stages of the fidelity report side by side"]


ROWS = (
    ExportFormat(
        name=NAME,
        description="a page with the pictures of the fidelity report: implicit, baked, student, "
        "refined and browser side by side",
        modules=(),
        write=lambda folder, subject, progress: {},
        check=lambda folder: [],
        after=("student",),
        after_student=True,
        ready=_ready,
        refuse=check_map,
        notes=_notes,
        output=FOLDER,
    ),
)
