"""imavatar-verify: re-checks an avatar folder against its golden data, on any machine, without torch."""

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
    """Hold the runtime's own animation and normals to the golden case of `animate.onnx`: N frames, planar.

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
    """Hold the features and the runtime's own pixel loop to the golden case of the student, where there is one.

    Raises:
        InputError: the folder has a student and no usable golden case of it, or the other way round.
    """
    case = read_golden(folder.path).get("student")
    if case is None and not has_student(folder):
        return []
    if case is None or case.inputs.keys() != {"feature", "normal", "condition"}:
        raise InputError(
            f"{folder.path} has no golden case of its student; export the avatar again"
        )
    student = read_student(folder)
    found = {"feature": student.features[golden_rows(len(student.features))]}
    feature, normal, condition = (case.inputs[name] for name in ("feature", "normal", "condition"))
    with Workers() as workers:
        found["rgb"] = student_colours(student, feature, normal, condition, workers)
    wanted = {"feature": case.inputs["feature"], **case.outputs}
    return [compare("student loop", wanted, found, {"feature": Tolerance(0.0), **case.tolerances})]


def parity_table(reports: list[ParityReport]) -> Table:
    """Every compared array, a row each."""
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


def hop_table(hops: list[StageReport]) -> Table:
    """Everything drawn anew against the implicit renders, a row each."""
    table = Table(
        *COLUMNS, title="median over the proof frames (worst frame)", title_justify="left"
    )
    for hop in hops:
        table.add_row(*cells(hop))
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
    """Re-check AVATAR (a folder made by imavatar-export, or the word 'sample').

    Hashes and shapes of everything in it; then every graph in ONNX Runtime, this program's own animation and, where
    there is one, its own drawing of the student, against what the networks computed when the avatar was exported. Last
    its pictures, drawn anew, against the implicit renders that the folder keeps, by its own tolerances.
    """
    started = time.perf_counter()
    folder = open_avatar(avatar)
    engines, not_run = check_engines(folder.path)
    reports = [*check_golden(folder.path), check_runtime(folder), *check_student(folder), *engines]
    hops = rejudge(folder)
    Console().print(parity_table(reports))
    if hops:
        Console().print(hop_table(hops))
    drift = drift_note(folder.manifest)
    said = [report.problems() for report in reports] + [hop.problems() for hop in hops]
    problems = "; ".join(filter(None, said))
    missed = sum(map(bool, said))
    allowed = f", {missed} missed and allowed" if missed else ""
    if problems and not drift:
        raise QualityError(f"{folder.path}: {problems}")
    if drift:
        click.echo(drift, err=True)
    for graph, reason in not_run.items():
        click.echo(f"engine of {graph} not run: {reason}")
    click.echo(
        f"{folder.path}: {len(folder.manifest['files'])} files intact, {len(said) - missed} checks passed{allowed}"
    )
    click.echo(
        closing_lines(
            [],
            time.perf_counter() - started,
            [f"imavatar-run {avatar} --source talk --sink talk.mp4"],
        )
    )
