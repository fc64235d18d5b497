"""imavatar-doctor: what works here, what is missing, what is broken, and the line that mends it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import click
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from imavatar_deploy.cli.command import Command, closing_lines, progress
from imavatar_deploy.errors import MissingDependencyError, unknown_name

from . import probes_core, probes_gpu, probes_optional
from .probe import BROKEN, MISSING, WORKS, Probe, ProbeResult, examine

# The table of checkups: adding a part is adding a row.


CHECKUPS: dict[str, Probe] = {
    row.name: row
    for rows in (probes_core.ROWS, probes_gpu.ROWS, probes_optional.ROWS)
    for row in rows
}
"""Every part by name."""

AT_ONCE = 2
"""Processes side by side: each mostly reads files, and loads libraries of hundreds of megabytes."""

STYLES = {WORKS: "green", MISSING: "yellow", BROKEN: "red"}


def examine_all(checkups: Iterable[Probe]) -> list[ProbeResult]:
    """Every finding, in the order of the checkups."""
    rows = list(checkups)
    with progress("trying every part", len(rows)) as advance, ThreadPoolExecutor(AT_ONCE) as pool:

        def one(checkup: Probe) -> ProbeResult:
            finding = examine(checkup)
            advance(1)
            return finding

        return list(pool.map(one, rows))


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  imavatar-doctor
  imavatar-doctor --part onnxruntime --part video
  imavatar-doctor --json > doctor.json""",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print the findings as JSON, for a bug report or a program.",
)
@click.option(
    "--part",
    "parts",
    multiple=True,
    help=f"Only this part; may be repeated: {', '.join(CHECKUPS)}.",
)
def doctor(as_json: bool, parts: tuple[str, ...]) -> None:
    """Try every part of this installation for real and say how to mend what does not work.

    Each part is loaded and used in a process of its own: a session is created and run, a frame encoded, an engine
    built. The exit code is 0 when everything that playing needs works, and 5 when it does not.
    """
    started = time.perf_counter()
    findings = examine_all(_chosen(parts))
    ill = [finding for finding in findings if finding.core and finding.state != WORKS]
    if as_json:
        click.echo(
            json.dumps(
                {"works": not ill, "parts": [finding.as_dict() for finding in findings]}, indent=2
            )
        )
    else:
        _show(findings)
        click.echo(closing_lines([], time.perf_counter() - started, [_next(ill)]))
    if ill:
        raise MissingDependencyError(
            "; ".join(f"{part.name} is {part.state} ({part.detail})" for part in ill)
        )


def _chosen(parts: tuple[str, ...]) -> list[Probe]:
    for part in parts:
        if part not in CHECKUPS:
            raise unknown_name("part", part, CHECKUPS)
    return [CHECKUPS[part] for part in parts or CHECKUPS]


def _next(ill: list[ProbeResult]) -> str:
    return ill[0].mend if ill else "imavatar-run sample --source talk --sink talk.mp4"


def _show(findings: list[ProbeResult]) -> None:
    table = Table("part", "", "what was seen", "serves", box=box.SIMPLE_HEAD)
    for finding in findings:
        state = f"[{STYLES[finding.state]}]{finding.state}[/]"
        table.add_row(finding.name, state, escape(finding.detail), escape(finding.serves))
    console = Console()
    console.print(table)
    for finding in findings:
        if finding.mend:
            click.echo(f"{finding.name}: {finding.mend}")
