"""Student: a folder that plays with the student alone, and the student's part of the other formats."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from imavatar_deploy.conventions import CONDITION_SIZE
from imavatar_deploy.errors import InternalError
from imavatar_deploy.golden import golden_rows, read_golden, write_golden
from imavatar_deploy.parity import ParityReport, Tolerance, compare
from imavatar_deploy.progress import Progress
from imavatar_deploy.student import FILE, Student, colours_plainly, load_student, write_student

from .format import ExportFormat, Subject
from .golden_cases import golden_cases
from .onnx_graphs import Graph
from .student_network import PlainStudent


def student_of(subject: Subject) -> Student:
    """The subject's student, where a format cannot do without."""
    if subject.student is None:
        raise InternalError("a student is to be written, and none was trained")
    return subject.student


def student_graph(subject: Subject) -> Graph:
    """student.onnx: what the runtime's pixel loop computes, for the web and other runtimes."""
    student = student_of(subject)
    return Graph(
        PlainStudent(student),
        (torch.zeros(2, student.width), torch.zeros(2, 3), torch.zeros(1, CONDITION_SIZE)),
        {
            "feature": f"[N, {student.width}] features of a vertex in {FILE}, or interpolated between vertices",
            "normal": "[N, 3] unit normal of the deformed surface, model space",
            "condition": "[1, 53] expression and the jaw's axis-angle (radians), one for all points",
        },
        {"rgb": "[N, 3] colour in 0..1"},
    )


def write_student_of(subject: Subject, folder: Path) -> None:
    """Write the subject's student, if it has one."""
    if subject.student:
        write_student(folder, subject.student)


def check_student(folder: Path) -> list[ParityReport]:
    """Hold the stored student, if there is one, to what torch computed before it was stored."""
    if not (folder / FILE).is_file():
        return []
    student, case = load_student(folder / FILE), read_golden(folder)["student"]
    feature = student.features[golden_rows(len(student.features))]
    colours = colours_plainly(student, feature, case.inputs["normal"], case.inputs["condition"])
    wanted = {"feature": case.inputs["feature"], **case.outputs}
    limits = {"feature": Tolerance(0.0), **case.tolerances}
    return [compare("student file", wanted, {"feature": feature, "rgb": colours}, limits)]


def _write(folder: Path, subject: Subject, progress: Progress) -> Mapping[str, Any]:
    cases = golden_cases(subject.source, subject.bake, storage=subject.settings.storage, student=student_of(subject))
    write_golden(folder, {name: cases[name] for name in ("animate", "student")})
    write_student_of(subject, folder)
    return {}


ROW = ExportFormat(
    "student",
    "the smallest folder that plays at all: its own arrays and a tiny network, without ONNX Runtime",
    (),
    _write,
    check_student,
    takes_student=True,
)
