"""imavatar-bench: frames a second of an avatar, time of each stage, comparisons of options."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from imavatar_deploy.atomic import BUNDLED_WORDS, ensure_writable, is_standard_output, write_text
from imavatar_deploy.cli.command import Command, closing_lines, progress, rows_help
from imavatar_deploy.cli.options import DURATION
from imavatar_deploy.conventions import TRACER_SUMMARIES
from imavatar_deploy.errors import UsageError
from imavatar_deploy.rendering.renderer import ANTIALIASING, EDGES
from imavatar_deploy.rendering.shading import AUTO, SHADINGS
from imavatar_deploy.rendering.workers import available_cores

from ..backends import BACKENDS
from ..timing import INCLUDED, load_average, machine
from .combination import TOGETHER, BenchAxes, combinations
from .measure import TimingPlan, Unavailable
from .options import axis_options, count_reader, implicit_options, row_of, several, size_pair
from .reports import comparison_report, markdown, single_lines, single_report
from .request import BenchRequest, Implicit, compare
from .results import BAKED, IMPLICIT, Facts, extrapolate, frame_cost, growths, size_option
from .tables import single_table, terminal_table

FILE_TABLE_WIDTH = 200
"""Columns of a table that goes into a file or another program."""

DEFAULT_SECONDS = 10.0
"""Default time limit of each combination in a comparison."""


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  imavatar-bench sample
  imavatar-bench my_avatar --size 256 --shading pixel --frames 30 --json bench.json
  imavatar-bench sample --size 256,512 --shading student,vertex,pixel
  imavatar-bench sample --backend cpu,cuda --shading vertex,pixel --md backends.md
  imavatar-bench sample --antialias none,edges,4x
  imavatar-bench faces5k faces20k faces50k --threads 1,2
  imavatar-bench sample --avatars 1,2,4 --together side-by-side,in-turn
  imavatar-bench sample --implicit sample --tracers raster""",
)
@click.argument("avatars", nargs=-1, required=True, metavar="AVATAR...")
@axis_options
@implicit_options
@click.option(
    "--frames",
    type=click.IntRange(min=1),
    default=150,
    show_default=True,
    help="Frames to time in each combination.",
)
@click.option(
    "--seconds",
    type=DURATION,
    help="Time limit of each combination; a slow one is timed on fewer frames.  "
    f"[default: {DEFAULT_SECONDS:g} in a comparison]",
)
@click.option(
    "--json",
    "out",
    type=click.Path(path_type=Path),
    help="Write the figures to this file as well; - prints them alone.",
)
@click.option(
    "--md",
    type=click.Path(path_type=Path),
    help="Write the comparison as Markdown to this file as well; - prints it alone.",
)
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

    With several avatars, or several values of an option, separated by commas, all combinations are
    compared in one table. They are timed a few frames at a time in turn, so that other load on the
    machine affects all alike. A combination that cannot run here is a row that says why. Levels of
    detail and students are avatars of their own (imavatar-export --faces, --student).
    """
    started = time.perf_counter()
    _ensure_outside(avatars, *(path for path in (out, md) if path and not is_standard_output(path)))
    axes = _axes(avatars, **options)
    implicit = _implicit(**options)
    files = _Files(out, md)
    if len(combinations(axes)) == 1 and not implicit and not md:
        plan = TimingPlan(frames, seconds or math.inf, engine_policy=engine_policy)
        next_command = _single(BenchRequest(axes, plan), files)
    else:
        plan = TimingPlan(frames, seconds or DEFAULT_SECONDS, engine_policy=engine_policy)
        next_command = _comparison(BenchRequest(axes, plan, implicit), files)
    files.say(closing_lines(files.written, time.perf_counter() - started, [next_command]))


@dataclass(frozen=True)
class _Files:
    """Destinations of the reports; messages go to stderr where a report goes to standard output.

    Raises:
        UsageError: both go to standard output, or one cannot be written.
    """

    json: Path | None
    md: Path | None

    def __post_init__(self) -> None:
        paths = [path for path in (self.json, self.md) if path]
        if len(paths) - len(self.written) > 1:
            raise UsageError("standard output takes one of --json and --md; give the other a file")
        for path in self.written:
            ensure_writable(path)

    @property
    def written(self) -> list[Path]:
        return [path for path in (self.json, self.md) if path and not is_standard_output(path)]

    @property
    def aside(self) -> bool:
        """Whether messages go to stderr, since standard output has a report."""
        return any(path and is_standard_output(path) for path in (self.json, self.md))

    def say(self, text: str) -> None:
        click.echo(text, err=self.aside)

    def console(self) -> Console:
        """A console for tables: as wide as the terminal, or `FILE_TABLE_WIDTH` without one."""
        terminal = (sys.stderr if self.aside else sys.stdout).isatty() or "COLUMNS" in os.environ
        return Console(stderr=self.aside, width=None if terminal else FILE_TABLE_WIDTH)

    def write_json(self, report: dict[str, Any]) -> None:
        if self.json:
            write_text(self.json, json.dumps(report, indent=2) + "\n")


def _ensure_outside(avatars: Sequence[str], *outputs: Path) -> None:
    """Check that no output lies in an avatar's folder.

    Raises:
        UsageError: an output does.
    """
    for avatar in set(avatars) - set(BUNDLED_WORDS):
        for path in outputs:
            if Path(avatar).resolve() in path.resolve().parents:
                raise UsageError(
                    f"{path} lies in the avatar {avatar}, which is read here; choose another path"
                )


def _axes(avatars: Sequence[str], **options: Any) -> BenchAxes:
    """Read the options.

    Raises:
        UsageError: an option has an unknown or impossible value.
    """
    cores = str(available_cores())
    return BenchAxes(
        list(dict.fromkeys(avatars)),
        several(options["size"], size_pair),
        several(options["shading"], row_of("shading", (AUTO, *SHADINGS))),
        several(options["backend"], row_of("backend", BACKENDS)),
        several(options["threads"] or cores, count_reader("--threads")),
        several(options["counts"], count_reader("--avatars")),
        several(options["together"], row_of("way to play together", TOGETHER)),
        several(options["antialias"], row_of("anti-aliasing", ANTIALIASING)),
    )


def _implicit(**options: Any) -> Implicit | None:
    size = size_pair(options["implicit_size"])
    tracers = several(options["tracers"], row_of("tracer", TRACER_SUMMARIES))
    return Implicit(options["checkpoint"], size, tracers) if options["checkpoint"] else None


def _single(request: BenchRequest, files: _Files) -> str:
    """Time one combination and show its stages; return a command to go on with."""
    (avatar,) = request.axes.avatars
    (figures,) = request.avatars().values()
    (outcome,) = request.time_baked(progress)
    if isinstance(outcome, Unavailable):
        raise outcome.error
    report = single_report(outcome, figures, machine())
    above, below = single_lines(report)
    files.say(above)
    Console(stderr=files.aside).print(single_table(report))
    files.say(below)
    files.write_json(report)
    return f"imavatar-bench {avatar} --size 256,512 --shading {','.join(SHADINGS)}"


def _comparison(request: BenchRequest, files: _Files) -> str:
    """Time all combinations and show them in a table; return a command to go on with."""
    if request.implicit:
        tracers = rows_help({name: TRACER_SUMMARIES[name] for name in request.implicit.tracers})
        click.echo(f"the implicit renderer comes last and is slow: {tracers}", err=True)
    before = load_average()
    rows = compare(request, progress)
    growth = growths(rows)
    about = machine()
    lines = [
        *(fact["said"] for fact in growth),
        *extrapolate(rows),
        INCLUDED,
        _machine_line(about, before),
    ]
    console = files.console()
    table, below = terminal_table(rows, console)
    console.print(table)
    files.say("\n".join([*below, *lines]))
    files.write_json(comparison_report(rows, growth, about, before))
    if files.md:
        write_text(files.md, markdown(rows, lines))
    return _next(rows, request)


def _machine_line(about: dict[str, Any], before: list[float] | None) -> str:
    machine_words = ", ".join(
        filter(None, [about["processor"], f"{about['cores']} cores", about["gpu"]])
    )
    loads = [f"{load[0]}" for load in (before, about["load_average"]) if load]
    return f"{machine_words}; load {' before, '.join(loads)} after" if loads else machine_words


def _next(rows: Sequence[Facts], request: BenchRequest) -> str:
    """A command to go on with: the comparison with the implicit renderer, else the quickest row."""
    first = request.axes.avatars[0]
    if first == "sample" and not any(row["kind"] == IMPLICIT for row in rows):
        return "imavatar-bench sample --implicit sample"
    timed = [row for row in rows if row["kind"] == BAKED and "milliseconds" in row]
    best = min((row for row in timed if row["size"] == timed[0]["size"]), key=frame_cost)
    options = f"--size {size_option(best['size'])} --shading {best['shading']}"
    options += f" --backend {best['backend']}"
    options += f" --antialias {best['antialias']}" if best["antialias"] != EDGES else ""
    return f"imavatar-run {best['avatar']} --source talk --sink talk.mp4 {options}"
