"""imavatar-verify: checks an avatar folder against its golden data, without torch."""

from __future__ import annotations

import time

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from imavatar_deploy.avatar_io import AvatarFolder, drift_note, open_avatar
from imavatar_deploy.cli.command import Command, closing_lines
from imavatar_deploy.errors import InputError, QualityError
from imavatar_deploy.fidelity.draw import rejudge
from imavatar_deploy.fidelity.golden import check_golden, golden_rows, read_golden
from imavatar_deploy.fidelity.parity import ParityReport, Tolerance, compare
from imavatar_deploy.fidelity.stage_metrics import COLUMNS, StageReport, cells
from imavatar_deploy.rendering.cpu_renderer import PosedSurface, SurfacePoser
from imavatar_deploy.rendering.student_shading import student_colours
from imavatar_deploy.rendering.workers import Workers
from imavatar_deploy.student import has_student, read_student
from imavatar_deploy.trt.verify import check_engines

from .options import avatar_argument


def check_runtime(folder: AvatarFolder) -> ParityReport:
    """Compare the runtime's animation and normals with the golden case of `animate.onnx`.

    Raises:
        InputError: the folder has no usable golden case of that name.
    """
    case = read_golden(folder.path).get("animate")
    if case is None or case.inputs.keys() != {"expression", "pose"}:
        raise InputError(f"{folder.path} has no golden case of animate; export the avatar again")
    avatar = folder.avatar
    with Workers() as workers:
        poser = SurfacePoser(avatar, workers)
        frames = [
            [array.T.copy() for array in poser(expression, pose)]
            for expression, pose in zip(case.inputs["expression"], case.inputs["pose"], strict=True)
        ]
    arrays = map(np.stack, zip(*frames, strict=True))
    outputs = dict(zip(PosedSurface._fields, arrays, strict=True))
    return compare("runtime", case.outputs, outputs, case.tolerances)


def check_student(folder: AvatarFolder) -> list[ParityReport]:
    """Compare features and the runtime's pixel loop with the golden case of the student, if any.

    Raises:
        InputError: the folder has a student without a usable golden case, or the other way round.
    """
    case = read_golden(folder.path).get("student")
    if case is None and not has_student(folder):
        return []
    if case is None or case.inputs.keys() != {"feature", "normal", "condition"}:
        raise InputError(
            f"{folder.path} has no golden case of its student; export the avatar again"
        )
    student = read_student(folder)
    actual = {"feature": student.features[golden_rows(len(student.features))]}
    feature, normal, condition = (case.inputs[name] for name in ("feature", "normal", "condition"))
    with Workers() as workers:
        actual["rgb"] = student_colours(student, feature, normal, condition, workers)
    expected = {"feature": case.inputs["feature"], **case.outputs}
    tolerances = {"feature": Tolerance(0.0), **case.tolerances}
    return [compare("student loop", expected, actual, tolerances)]


def parity_table(reports: list[ParityReport]) -> Table:
    """The table of compared arrays."""
    table = Table("graph", "array", "shape", "largest difference", "allowed", "verdict")
    for report in reports:
        for d in report.differences:
            allowed = f"{d.tolerance.absolute:.0e}" + (
                f" + {d.tolerance.relative:.0e} rel." * (d.tolerance.relative > 0)
            )
            shape = " x ".join(map(str, d.shape))
            table.add_row(
                report.subject, d.name, shape, f"{d.largest:.1e}", allowed, d.problem or "passed"
            )
    return table


def stage_table(stages: list[StageReport]) -> Table:
    """The table of stages, drawn again and compared with the implicit renders."""
    table = Table(
        *COLUMNS, title="median over the proof frames (worst frame)", title_justify="left"
    )
    for stage in stages:
        table.add_row(*cells(stage))
    return table


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  imavatar-verify sample
  imavatar-verify my_avatar""",
)
@avatar_argument
def verify(avatar: str) -> None:
    """Check AVATAR (a folder made by imavatar-export, or the word 'sample').

    First hashes and shapes of all files. Then every graph in ONNX Runtime, this program's own
    animation and, where there is one, its drawing of the student are compared with the networks'
    results from the export. Last, its pictures are drawn again and compared with the implicit
    renders in the folder, by the folder's tolerances.
    """
    started = time.perf_counter()
    folder = open_avatar(avatar)
    engines, not_run = check_engines(folder.path)
    reports = [*check_golden(folder.path), check_runtime(folder), *check_student(folder), *engines]
    stages = rejudge(folder)
    Console().print(parity_table(reports))
    if stages:
        Console().print(stage_table(stages))
    drift = drift_note(folder.manifest)
    checks = [report.problems() for report in reports] + [stage.problems() for stage in stages]
    problems = "; ".join(filter(None, checks))
    missed = sum(map(bool, checks))
    allowed = f", {missed} missed and allowed" if missed else ""
    if problems and not drift:
        raise QualityError(f"{folder.path}: {problems}")
    if drift:
        click.echo(drift, err=True)
    for graph, reason in not_run.items():
        click.echo(f"engine of {graph} not run: {reason}")
    click.echo(
        f"{folder.path}: {len(folder.manifest['files'])} files intact, "
        f"{len(checks) - missed} checks passed{allowed}"
    )
    click.echo(
        closing_lines(
            [],
            time.perf_counter() - started,
            [f"imavatar-run {avatar} --source talk --sink talk.mp4"],
        )
    )
