"""imavatar-doctor: which parts of the installation work, are missing or broken; the remedies."""

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

PROBES: dict[str, Probe] = {
    row.name: row
    for rows in (probes_core.ROWS, probes_gpu.ROWS, probes_optional.ROWS)
    for row in rows
}
"""The table of parts, by name."""

PROCESS_LIMIT = 2
"""Number of processes at once: each mostly reads files, and loads libraries of hundreds of
megabytes."""

STYLES = {WORKS: "green", MISSING: "yellow", BROKEN: "red"}


def examine_all(probes: Iterable[Probe]) -> list[ProbeResult]:
    """Run every probe; return the results in the same order."""
    rows = list(probes)
    with (
        progress("testing every part", len(rows)) as advance,
        ThreadPoolExecutor(PROCESS_LIMIT) as pool,
    ):

        def one(probe: Probe) -> ProbeResult:
            result = examine(probe)
            advance(1)
            return result

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
    help="Print the results as JSON, for a bug report or a program.",
)
@click.option(
    "--part",
    "parts",
    multiple=True,
    help=f"Only this part; may be repeated: {', '.join(PROBES)}.",
)
def doctor(as_json: bool, parts: tuple[str, ...]) -> None:
    """Test every part of this installation and print the remedy for those that do not work.

    Each part is loaded and used in a process of its own: a session is created and run, a frame
    encoded, an engine built. The exit code is 0 when every part that playing needs works, else 5.
    """
    started = time.perf_counter()
    results = examine_all(_select(parts))
    failures = [result for result in results if result.core and result.state != WORKS]
    if as_json:
        click.echo(
            json.dumps(
                {"works": not failures, "parts": [result.as_dict() for result in results]},
                indent=2,
            )
        )
    else:
        _show(results)
        click.echo(closing_lines([], time.perf_counter() - started, [_next(failures)]))
    if failures:
        raise MissingDependencyError(
            "; ".join(f"{part.name} is {part.state} ({part.detail})" for part in failures)
        )


def _select(parts: tuple[str, ...]) -> list[Probe]:
    for part in parts:
        if part not in PROBES:
            raise unknown_name("part", part, PROBES)
    return [PROBES[part] for part in parts or PROBES]


def _next(failures: list[ProbeResult]) -> str:
    return failures[0].mend if failures else "imavatar-run sample --source talk --sink talk.mp4"


def _show(results: list[ProbeResult]) -> None:
    table = Table("part", "", "result", "needed by", box=box.SIMPLE_HEAD)
    for result in results:
        state = f"[{STYLES[result.state]}]{result.state}[/]"
        table.add_row(result.name, state, escape(result.detail), escape(result.serves))
    console = Console()
    console.print(table)
    for result in results:
        if result.mend:
            click.echo(f"{result.name}: {result.mend}")
