"""imavatar-verify: checks an avatar folder against its golden data, without torch."""

from __future__ import annotations

import time
from collections.abc import Sequence

import click
from rich.console import Console
from rich.table import Table

from imavatar_deploy.cli.command import Command, closing_lines
from imavatar_deploy.errors import QualityError
from imavatar_deploy.fidelity.parity import ParityReport
from imavatar_deploy.fidelity.stage_metrics import COLUMNS, StageReport, cells
from imavatar_deploy.fidelity.verify import verify_avatar

from .options import avatar_argument


def parity_table(reports: Sequence[ParityReport]) -> Table:
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


def stage_table(stages: Sequence[StageReport]) -> Table:
    """The table of stages, drawn again and compared with the implicit renders."""
    table = Table(
        *COLUMNS, title="median over the reference frames (worst frame)", title_justify="left"
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
    report = verify_avatar(avatar)
    Console().print(parity_table(report.parity))
    if report.stages:
        Console().print(stage_table(report.stages))
    missed = report.missed()
    if missed and not report.drift:
        raise QualityError(f"{report.path}: {report.problems()}")
    if report.drift:
        click.echo(report.drift, err=True)
    for graph, reason in report.engines_not_run.items():
        click.echo(f"engine of {graph} not run: {reason}")
    passed = f"{len(report.checks) - missed} checks passed"
    allowed = f", {missed} missed and allowed" if missed else ""
    click.echo(f"{report.path}: {report.files} files intact, {passed}{allowed}")
    click.echo(
        closing_lines(
            [],
            time.perf_counter() - started,
            [f"imavatar-run {avatar} --source talk --sink talk.mp4"],
        )
    )
