"""Facts: the rows of the comparison as in its JSON; growth of the frame time.

All tables are made from these rows.

kind                     baked or implicit
avatar                   the avatar folder, or the checkpoint of an implicit row
vertices, faces, student_width             of a baked row
size, shading, antialias, backend, threads, avatars, together
unavailable              why the row could not be timed; then none of the following
frames                   number of timed frames, of all avatars
milliseconds             stages and `total` by percentile; `total` alone in an implicit row
frames_per_second        of all avatars; frames_per_second_each of one
covered_pixels           of one frame
times_slower             than the quickest baked row of the same size, by the median of total
note                     the backend's note
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from imavatar_deploy.rendering.renderer import EDGES, NO_ANTIALIASING
from imavatar_deploy.rendering.shading import SHADINGS

from ..timing import percentiles, summarise
from .combination import SIDE_BY_SIDE, BenchAvatar, Combination
from .implicit import ImplicitBenchJob, ImplicitTimes
from .measure import Outcome, Unavailable

Facts = dict[str, Any]
"""A row."""

BAKED = "baked"
IMPLICIT = "implicit"


def baked_facts(outcome: Outcome, avatar: BenchAvatar) -> Facts:
    """The row of a combination, timed or not."""
    row = outcome.combination
    facts = _identity(row, avatar)
    if isinstance(outcome, Unavailable):
        return facts | {"unavailable": str(outcome.error)}
    rate = len(outcome.totals) / outcome.seconds
    return facts | {
        "shading": outcome.shading,
        "frames": len(outcome.totals),
        "milliseconds": summarise(outcome.stage_times, outcome.totals),
        "frames_per_second": round(rate, 2),
        "frames_per_second_each": round(rate / row.avatars, 2),
        "covered_pixels": outcome.covered,
        "note": outcome.note,
    }


def _identity(row: Combination, avatar: BenchAvatar) -> Facts:
    return {
        "kind": BAKED,
        "avatar": row.avatar,
        "vertices": avatar.vertices,
        "faces": avatar.faces,
        "student_width": avatar.student_width,
        "size": list(row.size),
        "shading": row.shading,
        "antialias": row.antialias,
        "backend": row.backend,
        "threads": row.threads,
        "avatars": row.avatars,
        "together": row.together if row.avatars > 1 else "",
    }


def implicit_facts(times: ImplicitTimes, job: ImplicitBenchJob, avatar: BenchAvatar) -> Facts:
    """The row of the implicit renderer with one tracer."""
    facts = {
        "kind": IMPLICIT,
        "avatar": job.checkpoint,
        "size": list(job.size),
        "shading": f"implicit, {times.tracer}",
        "antialias": NO_ANTIALIASING,
        "backend": f"torch {times.device}",
        "threads": job.threads,
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
        "note": ", ".join(_implicit_notes(times, job, avatar)),
        "preparation_seconds": round(times.preparation, 3),
        "torch": times.torch,
    }


def _implicit_notes(
    times: ImplicitTimes, job: ImplicitBenchJob, avatar: BenchAvatar
) -> Sequence[str]:
    pixel = 1e3 * float(np.median(times.seconds)) / (job.size[0] * job.size[1])
    notes = [f"{pixel:.2g} ms a pixel", f"{times.preparation:.1f} s before the first frame"]
    if avatar.checkpoint_sha256 and avatar.checkpoint_sha256 != times.checkpoint_sha256:
        notes.append("not the checkpoint that the avatar was baked from")
    return notes


def add_ratios(rows: Sequence[Facts]) -> None:
    """Add `times_slower` to every timed row."""
    for row in rows:
        same = [other for other in rows if other["kind"] == BAKED and other["size"] == row["size"]]
        quickest = min(
            (frame_cost(other) for other in same if "milliseconds" in other), default=None
        )
        if quickest and "milliseconds" in row:
            row["times_slower"] = round(frame_cost(row) / quickest, 2)


def median(row: Facts) -> float:
    """Median time of a frame, milliseconds."""
    return float(row["milliseconds"]["total"]["p50"])


def frame_cost(row: Facts) -> float:
    """Milliseconds for each frame of the output: frames drawn side by side share their time."""
    return median(row) / (row["avatars"] if row["together"] == SIDE_BY_SIDE else 1)


def extrapolate(rows: Sequence[Facts]) -> list[str]:
    """Times of the implicit renderer at the bake's largest size, at the same time a pixel."""
    baked = [row for row in rows if row["kind"] == BAKED and "milliseconds" in row]
    return [
        line
        for row in rows
        if row["kind"] == IMPLICIT and "milliseconds" in row
        for line in _extrapolate_row(
            row, max(baked, key=lambda other: (_pixels(other), -frame_cost(other)))
        )
    ]


def _extrapolate_row(row: Facts, baked: Facts) -> Iterator[str]:
    if _pixels(baked) > _pixels(row):
        seconds = median(row) / 1e3 * _pixels(baked) / _pixels(row)
        yield (
            f"{row['shading']}: at {size_name(baked['size'])}, as long a pixel would be "
            f"{seconds:,.0f} s a frame, {1e3 * seconds / frame_cost(baked):,.0f} times that of "
            f"{baked['shading']} (extrapolated)"
        )


def _pixels(row: Facts) -> int:
    return int(row["size"][0] * row["size"][1])


def shading_name(row: Facts) -> str:
    """Name of the shading; of the student, with its width."""
    shading = str(row["shading"])
    width = row.get("student_width")
    uses_student = shading in SHADINGS and not SHADINGS[shading].uses_texture_network
    return f"{shading} 2x{width}" if uses_student and width else shading


def size_option(size: Sequence[int]) -> str:
    """`512` or `640x480`, as `--size` reads it."""
    width, height = size
    return f"{width}" if width == height else f"{width}x{height}"


def size_name(size: Sequence[int]) -> str:
    """`512²` or `640x480`."""
    return f"{size_option(size)}²" if size[0] == size[1] else size_option(size)


# Growth of the frame time with covered pixels and with vertices

FIT_POINTS = 3
"""Least number of points of a fit; a line through two always fits."""


@dataclass(frozen=True)
class Axis:
    """A quantity with which the time of a frame may grow."""

    name: str
    value: Callable[[Facts], float]
    others: Callable[[Facts], Hashable]
    """Properties that must be alike in rows of one fit."""
    unit: float
    """Amount of `value` that the slope is for."""
    sentence: str
    """With the slope `{slope}`, milliseconds a `unit`, and the rest, `{rest}` milliseconds."""


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
    """Fit a line to every set of at least `FIT_POINTS` timed rows that differ along one axis.

    Rows of several avatars at once are left out. Each fit has `axis`, `of` (the common properties
    in words), `points` [[value, milliseconds]], `rest_ms`, `slope_ms` a `unit`, `worst` (largest
    residual as a share of the time) and `said`, a sentence.
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
        if len({value for value, _ in points}) >= FIT_POINTS:
            yield _fit(axis, alike[0], points)


def _fit(axis: Axis, row: Facts, points: Sequence[tuple[float, float]]) -> Facts:
    values, times = np.array(points).T
    # relative residuals, so that small times weigh as much as large ones
    slope, rest = np.polyfit(values, times, 1, w=1 / times)
    worst = float(np.max(np.abs(slope * values + rest - times) / times))
    alike = [shading_name(row), str(row["backend"])]
    alike += [f"antialias {row['antialias']}"] if row["antialias"] != EDGES else []
    alike += [str(row["avatar"])] if axis.name == "covered pixels" else [size_name(row["size"])]
    line = axis.sentence.format(rest=rest, slope=slope * axis.unit)
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
    return (
        row["shading"],
        row["antialias"],
        row["backend"],
        row["threads"],
        row["student_width"],
    )
