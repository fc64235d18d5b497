"""Reports of the bench: columns of its table, Markdown, JSON of a comparison or one combination."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..player import STAGES
from ..timing import INCLUDED, summarise
from .combination import BenchAvatar
from .measure import Timed
from .results import Facts, shading_name, size_name

COMPARISON_SCHEMA = 2
"""Version of the JSON of a comparison; 1 is that of a single combination."""


@dataclass(frozen=True)
class Column:
    """One column: its head, and its cell in a row."""

    head: str
    cell: Callable[[Facts], str]
    figure: bool = True
    """Whether it is measured, and aligned to the right. Other columns are left out where all rows
    have the same value."""
    detail: bool = False
    """Whether it is left out where the terminal is narrow."""

    def distinguishes(self, rows: Sequence[Facts]) -> bool:
        """Whether rows with a value differ in it."""
        return len({cell for row in rows if (cell := self.cell(row))}) > 1


def _count(key: str) -> Callable[[Facts], str]:
    return lambda row: f"{row[key]:,}" if row.get(key) is not None else ""


def _stage(stage: str, percentile: str) -> Callable[[Facts], str]:
    def cell(row: Facts) -> str:
        times = row.get("milliseconds", {}).get(stage)
        return _figure(times[percentile]) if times else ""

    return cell


def _rate(key: str) -> Callable[[Facts], str]:
    return lambda row: _figure(row[key]) if key in row else ""


def _figure(value: float) -> str:
    """A number with three significant digits."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def note_of(row: Facts) -> str:
    """Why a row was not timed, or its note; may be empty."""
    return f"not here: {briefly(row['unavailable'])}" if "unavailable" in row else str(row["note"])


def briefly(sentence: str) -> str:
    """The first part of an error message: the problem without the remedy."""
    return sentence.partition(";")[0].partition(" (")[0].partition(": ")[0]


COLUMNS = (
    Column("avatar", lambda row: str(row["avatar"]), figure=False),
    Column("faces", _count("faces"), figure=False),
    Column("vertices", _count("vertices"), figure=False),
    Column("size", lambda row: size_name(row["size"]), figure=False),
    Column("shading", shading_name, figure=False),
    Column("antialias", lambda row: str(row["antialias"]), figure=False),
    Column("backend", lambda row: str(row["backend"]), figure=False),
    Column("threads", _count("threads"), figure=False),
    Column("avatars", lambda row: f"{row['avatars']} {row['together']}".strip(), figure=False),
    Column("frames", _count("frames"), figure=False, detail=True),
    *(Column(stage, _stage(stage, "p50"), detail=True) for stage in STAGES),
    Column("p50 ms", _stage("total", "p50")),
    Column("p95", _stage("total", "p95")),
    Column("p99", _stage("total", "p99")),
    Column("frames/s", _rate("frames_per_second")),
    Column("each", _rate("frames_per_second_each")),
    Column("x slower", _rate("times_slower")),
    Column("note", note_of, figure=False),
)


def select_columns(rows: Sequence[Facts]) -> tuple[list[Column], list[str]]:
    """The columns with figures or with different values, and the common values in words."""
    columns = []
    common = []
    for column in COLUMNS:
        cells = [cell for row in rows if (cell := column.cell(row))]
        if column.head == "each" and all(row["avatars"] == 1 for row in rows):
            continue
        if cells and (column.figure or column.head == "note" or column.distinguishes(rows)):
            columns.append(column)
        elif cells:
            common.append(f"{column.head} {cells[0]}")
    return columns, common


def markdown(rows: Sequence[Facts], lines: Sequence[str]) -> str:
    """The whole table as Markdown, with `lines` below."""
    columns, common = select_columns(rows)
    head = f"| {' | '.join(column.head for column in columns)} |\n{'|---' * len(columns)}|\n"
    body = "".join(f"| {' | '.join(column.cell(row) for column in columns)} |\n" for row in rows)
    above = [f"Alike in all rows: {', '.join(common)}.", ""] if common else []
    return "\n".join([*above, head + body, *(f"- {line}" for line in lines), ""])


def comparison_report(
    rows: Sequence[Facts],
    growth: Sequence[Facts],
    machine: dict[str, Any],
    load_before: Sequence[float] | None,
) -> dict[str, Any]:
    """The comparison for JSON; see `results` for a row and for `growth`."""
    return {
        "schema_version": COMPARISON_SCHEMA,
        "rows": list(rows),
        "growth": list(growth),
        "included": INCLUDED,
        "machine": {**machine, "load_average_before": load_before},
    }


# One combination, stage by stage

SINGLE_SCHEMA = 1

THREADS_NOTE = (
    "one pool of {0} for animation and drawing and, except with the student, one of {0} for ONNX "
    "Runtime take turns; neither spins while it waits"
)


def single_report(timed: Timed, avatar: BenchAvatar, machine: dict[str, Any]) -> dict[str, Any]:
    """The measurements of one combination for JSON; times in milliseconds."""
    row = timed.combination
    return {
        "schema_version": SINGLE_SCHEMA,
        "avatar": row.avatar,
        "vertices": avatar.vertices,
        "faces": avatar.faces,
        "size": list(row.size),
        "shading": timed.shading,
        "antialias": row.antialias,
        "frames": len(timed.totals),
        "milliseconds": summarise(timed.stage_times, timed.totals),
        "frames_per_second": round(len(timed.totals) / timed.seconds, 2),
        "included": INCLUDED,
        "threads": {"count": row.threads, "note": THREADS_NOTE.format(row.threads)},
        "machine": machine,
        "backend": timed.note or row.backend,
    }


def single_lines(report: dict[str, Any]) -> tuple[str, str]:
    """The text above the table, and below it."""
    about = report["machine"]
    width, height = report["size"]
    above = f"{report['avatar']}: {report['faces']:,} faces, {width} x {height}"
    rate = (
        f"{report['frames_per_second']} frames a second over {report['frames']} frames: "
        f"{report['included']}"
    )
    threads = report["threads"]["note"]
    computer = f"{about['processor']}, {about['cores']} cores"
    return (
        f"{above}, shading: {report['shading']}, antialias: {report['antialias']}, "
        f"{report['backend']}",
        f"{rate}\n{threads}; {computer}, load {about['load_average']}",
    )
