"""Metrics of a run in the text format of Prometheus."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

PREFIX = "imavatar_"

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def metrics_text(counts: Mapping[str, int], figures: Mapping[str, Any]) -> str:
    """Return counts by their names, and the numbers among the figures as labelled gauges.

    Args:
        counts: name -> value; one that ends in `_total` only grows.
        figures: text -> value, as a run displays them.
    """
    lines = []
    for name, value in counts.items():
        kind = "counter" if name.endswith("_total") else "gauge"
        lines += [f"# TYPE {PREFIX}{name} {kind}", f"{PREFIX}{name} {value}"]
    lines.append(f"# TYPE {PREFIX}figure gauge")
    lines += [
        f'{PREFIX}figure{{name="{name.translate(_ESCAPES)}"}} {float(value)!r}'
        for name, value in figures.items()
        if isinstance(value, (int, float)) and math.isfinite(value)
    ]
    return "\n".join(lines) + "\n"
