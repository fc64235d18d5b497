"""Facts: one row of the comparison as JSON holds it; the tables are made from these and from nothing else.

kind                   baked or implicit
avatar, vertices, faces, student_width      of a baked one; avatar is the checkpoint of an implicit one
size, shading, backend, threads, avatars, together
unavailable            the sentence that says why, alone, where it could not be timed
frames                 timed, of all avatars
milliseconds           stages and `total` by percentile; of an implicit one `total` alone
frames_per_second      of all avatars; frames_per_second_each of one
covered_pixels         of one frame
times_slower           than the quickest baked row of the same size, by the median of total
note                   what the backend tells of itself, and the like
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from imavatar_deploy.rendering.shading import SHADINGS

from ..timing import percentiles, summarise
from .combination import SIDE_BY_SIDE, BenchAvatar, Combination
from .implicit import ImplicitBenchJob, ImplicitTimes
from .measure import Outcome, Unavailable

Facts = dict[str, Any]

BAKED, IMPLICIT = "baked", "implicit"


def baked_facts(outcome: Outcome, subject: BenchAvatar) -> Facts:
    """Of a combination that was timed, or could not be."""
    row = outcome.combination
    facts = _identity(row, subject)
    if isinstance(outcome, Unavailable):
        return facts | {"unavailable": str(outcome.error)}
    rate = len(outcome.totals) / outcome.seconds
    return facts | {
        "shading": outcome.shading,
        "frames": len(outcome.totals),
        "milliseconds": summarise(outcome.laps, outcome.totals),
        "frames_per_second": round(rate, 2),
        "frames_per_second_each": round(rate / row.avatars, 2),
        "covered_pixels": outcome.covered,
        "note": outcome.note,
    }


def _identity(row: Combination, subject: BenchAvatar) -> Facts:
    return {
        "kind": BAKED,
        "avatar": row.avatar,
        "vertices": subject.vertices,
        "faces": subject.faces,
        "student_width": subject.student_width,
        "size": list(row.size),
        "shading": row.shading,
        "backend": row.backend,
        "threads": row.threads,
        "avatars": row.avatars,
        "together": row.together if row.avatars > 1 else "",
    }


def implicit_facts(times: ImplicitTimes, order: ImplicitBenchJob, subject: BenchAvatar) -> Facts:
    """Of the implicit renderer, by one tracer."""
    facts = {
        "kind": IMPLICIT,
        "avatar": order.checkpoint,
        "size": list(order.size),
        "shading": f"implicit, {times.tracer}",
        "backend": f"torch {times.device}",
        "threads": order.threads,
        "avatars": 1,
        "together": "",
    }
    if not times.seconds:
        return facts | {"unavailable": times.unavailable}
    rate = len(times.seconds) / sum(times.seconds)
    return facts | {
        "frames": len(times.seconds),
        "milliseconds": {"total": percentiles(times.seconds)},
        "frames_per_second": rate,
        "frames_per_second_each": rate,
        "covered_pixels": times.covered,
        "note": ", ".join(_told(times, order, subject)),
        "preparation_seconds": round(times.preparation, 3),
        "torch": times.torch,
    }


def _told(times: ImplicitTimes, order: ImplicitBenchJob, subject: BenchAvatar) -> Sequence[str]:
    pixel = 1e3 * float(np.median(times.seconds)) / (order.size[0] * order.size[1])
    told = [f"{pixel:.2g} ms a pixel", f"{times.preparation:.1f} s before the first frame"]
    if subject.checkpoint_sha256 and subject.checkpoint_sha256 != times.checkpoint_sha256:
        told.append("not the checkpoint that the avatar was baked from")
    return told


def add_ratios(rows: Sequence[Facts]) -> None:
    """Give every timed row its `times_slower`."""
    for row in rows:
        same = [other for other in rows if other["kind"] == BAKED and other["size"] == row["size"]]
        quickest = min((added(other) for other in same if "milliseconds" in other), default=None)
        if quickest and "milliseconds" in row:
            row["times_slower"] = round(added(row) / quickest, 2)


def median(row: Facts) -> float:
    """Milliseconds of a frame."""
    return float(row["milliseconds"]["total"]["p50"])


def added(row: Facts) -> float:
    """Milliseconds that a frame adds: those of several drawn at once pass together."""
    return median(row) / (row["avatars"] if row["together"] == SIDE_BY_SIDE else 1)


def extrapolated(rows: Sequence[Facts]) -> list[str]:
    """What the implicit renderer would need at the largest size of the bake, were every pixel to take as long there."""
    baked = [row for row in rows if row["kind"] == BAKED and "milliseconds" in row]
    return [
        line
        for row in rows
        if row["kind"] == IMPLICIT and "milliseconds" in row
        for line in _extrapolated(
            row, max(baked, key=lambda other: (_pixels(other), -added(other)))
        )
    ]


def _extrapolated(row: Facts, baked: Facts) -> Iterator[str]:
    if _pixels(baked) > _pixels(row):
        seconds = median(row) / 1e3 * _pixels(baked) / _pixels(row)
        yield (
            f"{row['shading']}: at {size_name(baked['size'])}, as long a pixel would be {seconds:,.0f} s a "
            f"frame, {1e3 * seconds / added(baked):,.0f} times what {baked['shading']} needs (extrapolated)"
        )


def _pixels(row: Facts) -> int:
    return int(row["size"][0] * row["size"][1])


def shading_name(row: Facts) -> str:
    """With the width of the student, where that is what colours."""
    shading, width = str(row["shading"]), row.get("student_width")
    asks_student = shading in SHADINGS and not SHADINGS[shading].uses_texture_network
    return f"{shading} 2x{width}" if asks_student and width else shading


def size_option(size: Sequence[int]) -> str:
    """`512` or `640x480`, as `--size` reads it."""
    width, height = size
    return f"{width}" if width == height else f"{width}x{height}"


def size_name(size: Sequence[int]) -> str:
    """`512²` or `640x480`."""
    return f"{size_option(size)}²" if size[0] == size[1] else size_option(size)


# Growth: how the time of a frame grows with the pixels that it covers and with the avatar's vertices.


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
    timed = [
        row
        for row in rows
        if row["kind"] == BAKED and row["avatars"] == 1 and "milliseconds" in row
    ]
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
    slope, rest = np.polyfit(
        values, times, 1, w=1 / times
    )  # a share of a small time weighs as one of a large
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
