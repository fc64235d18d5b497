"""Markdown tables, and numbers with as many digits as a reader can use."""

from __future__ import annotations

import math
from collections.abc import Sequence


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table; the first column is left-aligned, the others right."""
    rule = ["---", *["---:"] * (len(headings) - 1)]
    return ["| " + " | ".join(cells) + " |" for cells in (headings, rule, *rows)]


def cell(value: float | None) -> str:
    """Four significant digits; a dash for what is not there."""
    if value is None or math.isnan(value):
        return "-"
    return f"{value:.4g}" if math.isfinite(value) else "inf"
