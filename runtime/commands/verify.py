"""imavatar-verify: re-checks an avatar folder against its golden data, on any machine, without torch."""

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


def hop_table(hops: Sequence[StageReport]) -> Table:
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
    report = verify_avatar(avatar)
    Console().print(parity_table(report.parity))
    if report.stages:
        Console().print(hop_table(report.stages))
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
