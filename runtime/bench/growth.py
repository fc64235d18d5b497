"""Growth: how the time of a frame grows with the pixels that it covers and with the avatar's vertices."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from .facts import BAKED, Facts, median, shading_name, size_name

LEAST = 3
"""Points; a line through two fits whatever they are."""


@dataclass(frozen=True)
class Axis:
    """What a frame's time may grow along."""

    name: str
    value: Callable[[Facts], float]
    others: Callable[[Facts], Hashable]
    """What must be alike in rows that are compared."""
    unit: float
    """Of `value`, that the slope is told for."""
    said: str
    """With the slope `{slope}` in milliseconds a `unit`, and the rest, `{rest}` milliseconds."""


AXES = (
    Axis(
        "covered pixels",
        lambda row: float(row["covered_pixels"]),
        lambda row: (*_play(row), row["avatar"]),
        1e6,
        "{rest:.2f} ms + {slope:.1f} ns for every covered pixel",
    ),
    Axis(
        "vertices",
        lambda row: float(row["vertices"]),
        lambda row: (*_play(row), tuple(row["size"])),
        1e4,
        "{rest:.2f} ms + {slope:.2f} ms for every 10,000 vertices",
    ),
)


def growths(rows: Sequence[Facts]) -> list[Facts]:
    """A line fitted through every set of at least three timed rows of one avatar at once that differ along one axis.

    Each: `axis`, `of` (what is alike in words), `points` [[value, milliseconds]], `rest_ms`, `slope_ms` a `unit`,
    `worst` (largest residual as a share of the time), `said`.
    """
    timed = [row for row in rows if row["kind"] == BAKED and row["avatars"] == 1 and "milliseconds" in row]
    return [fact for axis in AXES for fact in _along(axis, timed)]


def _along(axis: Axis, rows: Sequence[Facts]) -> Iterator[Facts]:
    def key(row: Facts) -> str:
        return repr(axis.others(row))

    for _, group in groupby(sorted(rows, key=key), key):
        alike = list(group)
        points = sorted((axis.value(row), median(row)) for row in alike)
        if len({value for value, _ in points}) >= LEAST:
            yield _fitted(axis, alike[0], points)


def _fitted(axis: Axis, row: Facts, points: Sequence[tuple[float, float]]) -> Facts:
    values, times = np.array(points).T
    slope, rest = np.polyfit(values, times, 1, w=1 / times)  # a share of a small time weighs as one of a large
    worst = float(np.max(np.abs(slope * values + rest - times) / times))
    alike = [shading_name(row), str(row["backend"])]
    alike += [str(row["avatar"])] if axis.name == "covered pixels" else [size_name(row["size"])]
    line = axis.said.format(rest=rest, slope=slope * axis.unit)
    return {
        "axis": axis.name,
        "of": ", ".join(alike),
        "points": [list(point) for point in points],
        "rest_ms": round(float(rest), 4),
        "slope_ms": round(float(slope * axis.unit), 4),
        "unit": axis.unit,
        "worst": round(worst, 3),
        "said": f"{', '.join(alike)}: {line} (off by {100 * worst:.0f} % at most)",
    }


def _play(row: Facts) -> tuple[Hashable, ...]:
    return row["shading"], row["backend"], row["threads"], row["student_width"]
