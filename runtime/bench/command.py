"""imavatar-bench: how many frames a second an avatar plays at, where the time goes, and what would be faster."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from imavatar_deploy.animation.shade import AUTO, SHADINGS
from imavatar_deploy.atomic import BUNDLED_WORDS, atomic_file
from imavatar_deploy.console import Command, closing_lines
from imavatar_deploy.drawing.workers import available_cores
from imavatar_deploy.errors import UsageError

from ..backends import BACKENDS
from ..durations import DURATION
from ..timing import INCLUDED, load_average, machine
from .combination import TOGETHER, Choices, combinations
from .comparison import comparison_report, markdown, terminal_table
from .facts import BAKED, IMPLICIT, Facts, added, extrapolated, size_option
from .growth import growths
from .implicit import TRACERS
from .request import Implicit, Request, compare
from .rounds import Pace, Unavailable
from .several import counted, implicit_renderer, row_of, several, size_pair, what_is_compared
from .single import single_lines, single_report, single_table

WIDE = 200
"""Columns of a table that goes into a file or another program."""

SECONDS = 10.0
"""Of each combination in a comparison, unless told."""


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  imavatar-bench sample
  imavatar-bench my_avatar --size 256 --shading pixel --frames 30 --json bench.json
  imavatar-bench sample --size 256,512 --shading student,vertex,pixel
  imavatar-bench sample --backend cpu,cuda --shading vertex,pixel --md backends.md
  imavatar-bench faces5k faces20k faces50k --threads 1,2
  imavatar-bench sample --avatars 1,2,4 --together side-by-side,in-turn
  imavatar-bench sample --implicit sample --tracers raster""",
)
@click.argument("avatars", nargs=-1, required=True, metavar="AVATAR...")
@what_is_compared
@implicit_renderer
@click.option("--frames", type=click.IntRange(min=1), default=150, show_default=True, help="Frames to time, of each.")
@click.option(
    "--seconds",
    type=DURATION,
    help=f"Most time for each; a slow one is timed on fewer frames.  [default: {SECONDS:g} in a comparison]",
)
@click.option("--json", "out", type=click.Path(path_type=Path), help="Write the figures to this file, too.")
@click.option("--md", type=click.Path(path_type=Path), help="Write the comparison as Markdown to this file, too.")
def bench(
    avatars: tuple[str, ...],
    frames: int,
    seconds: float | None,
    engine_policy: str,
    out: Path | None,
    md: Path | None,
    **options: Any,
) -> None:
    """Time AVATAR (a folder made by imavatar-export, or the word 'sample') on the bundled motion.

    Where an option or AVATAR names several, separated by commas, all combinations are compared in one table: they are
    timed a few frames at a time in turn, so that whatever else the machine does hurts all alike. One that cannot run
    here is a row that says why. Levels of detail and students are avatars of their own (imavatar-export --faces,
    --student).
    """
    started = time.perf_counter()
    _ensure_outside(avatars, *filter(None, (out, md)))
    choices, implicit = _choices(avatars, **options), _implicit(**options)
    if len(combinations(choices)) == 1 and not implicit and not md:
        then = _single(Request(choices, Pace(frames, seconds or math.inf, engine_policy=engine_policy)), out)
    else:
        pace = Pace(frames, seconds or SECONDS, engine_policy=engine_policy)
        then = _comparison(Request(choices, pace, implicit), out, md)
    click.echo(closing_lines([path for path in (out, md) if path], time.perf_counter() - started, [then]))


def _ensure_outside(avatars: Sequence[str], *outputs: Path) -> None:
    """Refuse to write into an avatar's folder.

    Raises:
        UsageError: an output lies there.
    """
    for avatar in set(avatars) - set(BUNDLED_WORDS):
        for path in outputs:
            if Path(avatar).resolve() in path.resolve().parents:
                raise UsageError(f"{path} lies in the avatar {avatar}, which is read here; choose another path")


def _choices(avatars: Sequence[str], **options: Any) -> Choices:
    """What the options name.

    Raises:
        UsageError: one of them makes no sense.
    """
    cores = str(available_cores())
    return Choices(
        list(dict.fromkeys(avatars)),
        several(options["size"], size_pair),
        several(options["shading"], row_of("shading", (AUTO, *SHADINGS))),
        several(options["backend"], row_of("backend", BACKENDS)),
        several(options["threads"] or cores, counted("--threads")),
        several(options["counts"], counted("--avatars")),
        several(options["together"], row_of("way to play together", TOGETHER)),
    )


def _implicit(**options: Any) -> Implicit | None:
    size, tracers = size_pair(options["implicit_size"]), several(options["tracers"], row_of("tracer", TRACERS))
    return Implicit(options["checkpoint"], size, tracers) if options["checkpoint"] else None


def _single(request: Request, out: Path | None) -> str:
    """Time one combination, show its stages; returns the next command."""
    (avatar,) = request.choices.avatars
    (subject,) = request.subjects().values()
    (outcome,) = request.time_baked()
    if isinstance(outcome, Unavailable):
        raise outcome.error
    report = single_report(outcome, subject, machine())
    _write_json(out, report)
    above, below = single_lines(report)
    click.echo(above)
    Console().print(single_table(report))
    click.echo(below)
    return f"imavatar-bench {avatar} --size 256,512 --shading {','.join(SHADINGS)}"


def _comparison(request: Request, out: Path | None, md: Path | None) -> str:
    """Time all combinations, show them side by side; returns the next command."""
    if request.implicit:
        how = "; ".join(f"{name} {TRACERS[name]}" for name in request.implicit.tracers)
        click.echo(f"the implicit renderer comes last and takes its time: {how}", err=True)
    before = load_average()
    rows = compare(request)
    growth, about = growths(rows), machine()
    lines = [*(fact["said"] for fact in growth), *extrapolated(rows), INCLUDED, _told_of(about, before)]
    _write_json(out, comparison_report(rows, growth, about, before))
    if md:
        with atomic_file(md) as partial:
            partial.write_text(markdown(rows, lines), encoding="utf-8")
    console = Console() if sys.stdout.isatty() or "COLUMNS" in os.environ else Console(width=WIDE)
    table, below = terminal_table(rows, console)
    console.print(table)
    click.echo("\n".join([*below, *lines]))
    return _next(rows, request)


def _told_of(about: dict[str, Any], before: list[float] | None) -> str:
    machine_words = ", ".join(filter(None, [about["processor"], f"{about['cores']} cores", about["gpu"]]))
    loads = [f"{load[0]}" for load in (before, about["load_average"]) if load]
    return f"{machine_words}; load {' before, '.join(loads)} after" if loads else machine_words


def _write_json(out: Path | None, report: dict[str, Any]) -> None:
    if out:
        with atomic_file(out) as partial:
            partial.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _next(rows: Sequence[Facts], request: Request) -> str:
    """The implicit renderer's comparison where that can be pasted, else the quickest row in use."""
    first = request.choices.avatars[0]
    if first == "sample" and not any(row["kind"] == IMPLICIT for row in rows):
        return "imavatar-bench sample --implicit sample"
    timed = [row for row in rows if row["kind"] == BAKED and "milliseconds" in row]
    best = min((row for row in timed if row["size"] == timed[0]["size"]), key=added)
    drawn = f"--size {size_option(best['size'])} --shading {best['shading']} --backend {best['backend']}"
    return f"imavatar-run {best['avatar']} --source talk --sink talk.mp4 {drawn}"
