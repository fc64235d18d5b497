"""Comparison: the columns of its table, as Markdown, and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..player import STAGES
from ..timing import INCLUDED
from .facts import Facts, shading_name, size_name

SCHEMA_VERSION = 2
"""1 is that of a single combination, see `single`."""


@dataclass(frozen=True)
class Column:
    """One column: its head and what stands in it for a row."""

    head: str
    cell: Callable[[Facts], str]
    figure: bool = True
    """Measured, and to the right; the others say what was timed, and are left out where all rows say the same."""
    detail: bool = False
    """Left out where the terminal is narrow."""

    def distinguishes(self, rows: Sequence[Facts]) -> bool:
        """Whether rows differ in it, those aside that have no such thing."""
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
    """Three digits, however large or small."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def note_of(row: Facts) -> str:
    """Why a row was not timed, or what belongs to it beside the figures; may be empty."""
    return f"not here: {briefly(row['unavailable'])}" if "unavailable" in row else str(row["note"])


def briefly(sentence: str) -> str:
    """The first thing that a sentence says: what came, without what to do."""
    return sentence.partition(";")[0].partition(" (")[0].partition(": ")[0]


COLUMNS = (
    Column("avatar", lambda row: str(row["avatar"]), figure=False),
    Column("faces", _count("faces"), figure=False),
    Column("vertices", _count("vertices"), figure=False),
    Column("size", lambda row: size_name(row["size"]), figure=False),
    Column("shading", shading_name, figure=False),
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


def shown_columns(rows: Sequence[Facts]) -> tuple[list[Column], list[str]]:
    """The columns in which rows differ or that hold figures, and what all rows have in common, in words."""
    columns, common = [], []
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
    """The whole table, with `lines` below."""
    columns, common = shown_columns(rows)
    head = f"| {' | '.join(column.head for column in columns)} |\n{'|---' * len(columns)}|\n"
    body = "".join(f"| {' | '.join(column.cell(row) for column in columns)} |\n" for row in rows)
    told = [f"Alike in all rows: {', '.join(common)}.", ""] if common else []
    return "\n".join([*told, head + body, *(f"- {line}" for line in lines), ""])


def comparison_report(
    rows: Sequence[Facts], growth: Sequence[Facts], machine: dict[str, Any], load_before: Sequence[float] | None
) -> dict[str, Any]:
    """JSON-ready; see `facts` for a row and `growth` for what stands there."""
    return {
        "schema_version": SCHEMA_VERSION,
        "rows": list(rows),
        "growth": list(growth),
        "included": INCLUDED,
        "machine": {**machine, "load_average_before": load_before},
    }
