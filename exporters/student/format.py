"""The format `student`, which plays without ONNX Runtime, and student files of other formats."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from imavatar_deploy.conventions import CONDITION_SIZE
from imavatar_deploy.errors import InternalError
from imavatar_deploy.fidelity.golden import golden_rows, read_golden, write_golden
from imavatar_deploy.fidelity.parity import ParityReport, Tolerance, compare
from imavatar_deploy.onnx_session import open_session, run_graph
from imavatar_deploy.progress import Progress
from imavatar_deploy.student import (
    STUDENT_FILE,
    Student,
    colours_plainly,
    load_student,
    write_student,
)

from ..fidelity.golden_cases import golden_cases, student_case
from ..formats.format import ExportFormat, ExportInput
from ..formats.onnx_export import Graph
from .network import PlainStudent

GRAPH = "student.onnx"


def student_of(subject: ExportInput) -> Student:
    """The trained student.

    Raises:
        InternalError: there is none.
    """
    if subject.student is None:
        raise InternalError("there is no trained student to write")
    return subject.student


def student_graph(subject: ExportInput) -> Graph:
    """The graph student.onnx, which computes the same as the runtime's student shading."""
    student = student_of(subject)
    return Graph(
        PlainStudent(student),
        (torch.zeros(2, student.width), torch.zeros(2, 3), torch.zeros(1, CONDITION_SIZE)),
        {
            "feature": f"[N, {student.width}] features of a vertex in {STUDENT_FILE}, "
            "or interpolated between vertices",
            "normal": "[N, 3] unit normal of the deformed surface, model space",
            "condition": "[1, 53] expression and the jaw's axis-angle (radians), "
            "one for all points",
        },
        {"rgb": "[N, 3] colour in 0..1"},
    )


def add_student(folder: Path, subject: ExportInput, progress: Progress) -> Mapping[str, Any]:
    """Write the trained student and its golden data."""
    student = student_of(subject)
    write_golden(folder, {"student": student_case(subject.networks, subject.network_bake, student)})
    write_student(folder, student)
    return {}


def check_student(folder: Path) -> list[ParityReport]:
    """Compare the stored student, and its graph where there is one, with torch's golden data."""
    student = load_student(folder / STUDENT_FILE)
    case = read_golden(folder)["student"]
    feature = student.features[golden_rows(len(student.features))]
    colours = colours_plainly(student, feature, case.inputs["normal"], case.inputs["condition"])
    expected = {"feature": case.inputs["feature"], **case.outputs}
    limits = {"feature": Tolerance(0.0), **case.tolerances}
    reports = [compare("student file", expected, {"feature": feature, "rgb": colours}, limits)]
    if (folder / GRAPH).is_file():
        computed = run_graph(open_session(folder / GRAPH), case.inputs)
        reports.insert(0, compare("student", case.outputs, computed, case.tolerances))
    return reports


def _write(folder: Path, subject: ExportInput, progress: Progress) -> Mapping[str, Any]:
    cases = golden_cases(subject.networks, subject.network_bake, storage=subject.settings.storage)
    write_golden(folder, {"animate": cases["animate"]})
    return {}


ROW = ExportFormat(
    "student",
    "the smallest folder that plays: its own arrays and a small network, without ONNX Runtime",
    (),
    _write,
    lambda folder: [],
    playable=True,
    takes_student=True,
    write_student=add_student,
)
