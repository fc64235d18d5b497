"""The bench's tables on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console, JustifyMethod
from rich.markup import escape
from rich.table import Table

from ..player import STAGES
from .reports import Column, note_of, select_columns
from .results import Facts

UNBOUNDED_WIDTH = 1000
"""Columns of a terminal in which every table fits."""


def single_table(report: dict[str, Any]) -> Table:
    """The table of stages by percentiles."""
    table = Table("stage", "p50 ms", "p95 ms", "p99 ms")
    for stage, times in report["milliseconds"].items():
        figures = [f"{value:.2f}" for value in times.values()]
        table.add_row(stage, *figures, end_section=stage == STAGES[-1])
    return table


def terminal_table(rows: Sequence[Facts], console: Console) -> tuple[Table, list[str]]:
    """The table that fits, and the lines below it: notes, common values, missing columns."""
    columns, common = select_columns(rows)
    notes = [note for note in dict.fromkeys(map(note_of, rows)) if note]
    lines = [f"({number}) {note}" for number, note in enumerate(notes, 1)]
    lines += [f"alike in all rows: {', '.join(common)}"] if common else []
    table = _table(columns, rows, notes)
    unbounded = console.options.update(max_width=UNBOUNDED_WIDTH)
    if console.measure(table, options=unbounded).maximum > console.width:
        table = _table([column for column in columns if not column.detail], rows, notes)
        lines.append("the stages do not fit here; --md and --json have them")
    return table, lines


def _table(columns: Sequence[Column], rows: Sequence[Facts], notes: Sequence[str]) -> Table:
    """The table, with a number in place of each note, since notes are long."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        side: JustifyMethod = "right" if column.figure else "left"
        table.add_column(column.head, justify=side, no_wrap=column.figure)
    for row in rows:
        number = f"({notes.index(note_of(row)) + 1})" if note_of(row) else ""
        cells = {column.head: escape(column.cell(row)) for column in columns}
        table.add_row(*(number if head == "note" else cell for head, cell in cells.items()))
    return table
