"""Charts of the track report: HTML with inline SVG, readable at any width, without JavaScript."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

import numpy as np

from imavatar_deploy.arrays import Array, Float, Float64, Int64

from .advice import Span, clock

WIDTH = 1000
HEIGHT = 100
"""Sides of the drawing in its own units; it is stretched to the page, and its lines are not."""

HOVERS = 100
"""Largest number of stripes of a chart that show their values under the pointer."""

GAP_PERIODS = 3.5
"""Pause between frames, in periods of the video, from which a line is interrupted."""


@dataclass(frozen=True, eq=False)
class Series:
    """One line of a chart."""

    name: str
    values: Float[Array, " T"]


@dataclass(frozen=True)
class Mark:
    """A span of time that is emphasised, such as dropped frames."""

    span: Span
    text: str


@dataclass(frozen=True, eq=False)
class TimeAxis:
    """The times of the frames and what is marked on every chart."""

    times: Float64[Array, " T"]
    """Seconds."""
    fps: float
    marks: tuple[Mark, ...] = ()

    @property
    def end(self) -> float:
        """End of the axis, seconds."""
        return max(float(self.times[-1]), *(mark.span[1] for mark in self.marks), 1.0 / self.fps)

    def column(self, seconds: float) -> float:
        """Return the horizontal place of a moment."""
        return WIDTH * seconds / self.end


def line_chart(
    ident: str,
    title: str,
    unit: str,
    axis: TimeAxis,
    series: Sequence[Series],
    *,
    minimum: float | None = None,
    decimals: int = 1,
    limit: float | None = None,
) -> str:
    """Return a chart of values over time.

    Args:
        ident: id of the figure, unique in the page.
        title: of the chart.
        unit: of the values; empty for shares.
        axis: times and marks.
        series: at most six lines of one unit.
        minimum: lower end of the vertical axis; that of the values by default.
        decimals: of the values in texts.
        limit: a value that a dashed line shows.
    """
    low, high = _extent(series, minimum, limit)
    ticks = nice_ticks(low, high)
    low, high = min(low, ticks[0]), max(high, ticks[-1])

    def row(value: float) -> float:
        return HEIGHT * (high - value) / (high - low)

    summary = "; ".join(
        f"{line.name} {np.nanmin(line.values):.{decimals}f} to "
        f"{np.nanmax(line.values):.{decimals}f}, median {np.nanmedian(line.values):.{decimals}f}"
        for line in series
        if np.isfinite(line.values).any()
    )
    marks = len(axis.marks)
    label = f"{title}{_in(unit)}. {summary}. {marks} marked spans."
    parts = [
        *(_line(0, WIDTH, row(tick), "grid") for tick in ticks),
        *([_line(0, WIDTH, row(limit), "limit")] if limit is not None else []),
        *(_polyline(axis, line.values, row, index) for index, line in enumerate(series)),
        *_marks(axis),
        *_hovers(axis, series, unit, decimals),
    ]
    keys = "".join(
        f'<span class="key s{index}">{escape(line.name)}</span>'
        for index, line in enumerate(series)
        if len(series) > 1
    )
    labels = "".join(
        f'<span style="top:{100 * (high - tick) / (high - low):.1f}%">{tick:g}</span>'
        for tick in ticks
    )
    moments = [tick for tick in nice_ticks(0.0, axis.end, 6) if 0 <= tick <= axis.end]
    along = "".join(
        f'<span style="left:{100 * moment / axis.end:.1f}%">{clock(moment)}</span>'
        for moment in moments
    )
    return (
        f'<figure class="chart" id="{ident}"><figcaption>{escape(title)}'
        f'<span class="unit">{escape(_in(unit))}</span>{keys}</figcaption>'
        f'<div class="plot"><div class="ys" aria-hidden="true">{labels}</div>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label)}">{"".join(parts)}</svg>'
        f'<div class="xs" aria-hidden="true">{along}</div></div></figure>'
    )


def _in(unit: str) -> str:
    return f", {unit}" if unit else ""


def _extent(
    series: Sequence[Series], minimum: float | None, limit: float | None
) -> tuple[float, float]:
    values = np.concatenate([np.asarray(line.values, dtype=np.float64) for line in series])
    values = values[np.isfinite(values)]
    bounds = [value for value in (minimum, limit) if value is not None]
    low = float(min([*values, *bounds], default=0.0))
    high = float(max([*values, *bounds], default=1.0))
    return (low, high) if high - low > 1e-6 else (low - 0.5, high + 0.5)


def nice_ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Return about `count` round numbers that span at least most of `low` to `high`."""
    rough = (high - low) / count
    power = 10.0 ** np.floor(np.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    first = np.floor(low / step + 1e-9)
    last = np.ceil(high / step - 1e-9)
    return [float(round(step * index, 10)) for index in range(int(first), int(last) + 1)]


def _line(start: float, end: float, row: float, css: str) -> str:
    return f'<path class="{css}" d="M{start:g} {row:.1f}H{end:g}"/>'


def _polyline(
    axis: TimeAxis, values: Float[Array, " T"], row: Callable[[float], float], index: int
) -> str:
    """One path; it is interrupted where frames or their values are missing."""
    commands = []
    before = -np.inf
    for time, value in zip(axis.times, values, strict=True):
        if not np.isfinite(value):
            continue
        command = "M" if time - before > GAP_PERIODS / axis.fps else "L"
        commands.append(f"{command}{axis.column(float(time)):.1f} {row(float(value)):.1f}")
        before = time
    return f'<path class="line s{index}" d="{"".join(commands)}"/>'


def _marks(axis: TimeAxis) -> list[str]:
    rects = []
    for mark in axis.marks:
        left = axis.column(mark.span[0])
        width = max(axis.column(mark.span[1] + 1.0 / axis.fps) - left, 3.0)
        rects.append(
            f'<rect class="mark" x="{left:.1f}" y="0" width="{width:.1f}" height="{HEIGHT}">'
            f"<title>{escape(mark.text)}</title></rect>"
        )
    return rects


def _hovers(axis: TimeAxis, series: Sequence[Series], unit: str, decimals: int) -> list[str]:
    """Transparent stripes whose titles state the values."""
    count = len(axis.times)
    indices = np.unique(np.linspace(0, count - 1, min(count, HOVERS)).round().astype(int))
    columns = [axis.column(float(axis.times[index])) for index in indices]
    edges = [0.0, *((a + b) / 2 for a, b in pairwise(columns)), WIDTH]
    stripes = []
    for position, index in enumerate(indices):
        values = ", ".join(
            f"{line.name if len(series) > 1 else ''} {line.values[index]:.{decimals}f}".strip()
            for line in series
        )
        text = f"{clock(float(axis.times[index]))}: {values} {unit}".strip()
        left, right = edges[position], edges[position + 1]
        stripes.append(
            f'<rect class="hover" x="{left:.1f}" y="0" width="{right - left:.1f}" '
            f'height="{HEIGHT}"><title>{escape(text)}</title></rect>'
        )
    return stripes


# Head poses

CELL = 44
"""Side of a cell of the chart of head poses, in units of the drawing."""


def pose_chart(
    ident: str,
    histogram: Int64[Array, "P Y"],
    pitch_edges: Float64[Array, " _"],
    yaw_edges: Float64[Array, " _"],
    goals: tuple[float, float, float, float],
) -> str:
    """Return the numbers of frames by yaw and pitch as a grid of cells.

    Args:
        ident: id of the figure.
        histogram: rows by ascending pitch, columns by ascending yaw.
        pitch_edges: of the rows, degrees.
        yaw_edges: of the columns, degrees.
        goals: degrees to the left, to the right, up and down that a dashed frame shows.
    """
    rows, columns = histogram.shape
    total = max(1, int(histogram.sum()))
    largest = max(1, int(histogram.max()))
    left, bottom = 44, 40
    width, height = left + columns * CELL + 8, rows * CELL + bottom

    def across(yaw: float) -> float:
        share = (yaw - yaw_edges[0]) / (yaw_edges[-1] - yaw_edges[0])
        return float(left + CELL * columns * share)

    def down(pitch: float) -> float:
        span = pitch_edges[-1] - pitch_edges[0]
        return float(CELL * rows * (pitch_edges[-1] - pitch) / span)

    parts = []
    for row in range(rows):
        for column in range(columns):
            count = int(histogram[row, column])
            x, y = left + column * CELL, (rows - 1 - row) * CELL
            strength = 0.15 + 0.85 * (count / largest) ** 0.5 if count else 0.0
            text = (
                f"yaw {yaw_edges[column]:g} to {yaw_edges[column + 1]:g}, pitch "
                f"{pitch_edges[row]:g} to {pitch_edges[row + 1]:g}: {count} frames"
            )
            parts.append(
                f'<rect class="cell" x="{x}" y="{y}" width="{CELL}" height="{CELL}">'
                f"<title>{text}</title></rect>"
            )
            if count:
                parts.append(
                    f'<rect class="fill" x="{x + 1}" y="{y + 1}" width="{CELL - 2}" '
                    f'height="{CELL - 2}" style="opacity:{strength:.2f}">'
                    f"<title>{text}</title></rect>"
                )
                dark = " strong" if strength > 0.6 else ""
                parts.append(
                    f'<text class="count{dark}" x="{x + CELL / 2:g}" y="{y + CELL / 2 + 6:g}">'
                    f"{count}</text>"
                )
    own_left, own_right, up, lower = goals
    parts.append(
        f'<rect class="goal" x="{across(-own_right):.1f}" y="{down(up):.1f}" '
        f'width="{across(own_left) - across(-own_right):.1f}" '
        f'height="{down(-lower) - down(up):.1f}"/>'
    )
    for edge in yaw_edges[::2]:
        parts.append(
            f'<text class="tick" x="{across(edge):g}" y="{rows * CELL + 18}">{edge:g}°</text>'
        )
    for edge in pitch_edges[::2]:
        parts.append(
            f'<text class="tick side" x="{left - 6}" y="{down(edge) + 5:.0f}">{edge:g}°</text>'
        )
    parts.append(
        f'<text class="name" x="{left}" y="{height - 4}">← own right</text>'
        f'<text class="name end" x="{width - 8}" y="{height - 4}">own left →</text>'
    )
    filled = int((histogram > 0).sum())
    label = (
        f"Head poses of {total} frames by yaw and pitch: {filled} of {rows * columns} bins filled."
    )
    return (
        f'<figure class="poses" id="{ident}"><figcaption>Frames by yaw (across) and pitch (up), as '
        "the camera sees them. The dashed frame is good coverage.</figcaption>"
        f'<svg viewBox="-8 -8 {width + 16} {height + 12}" role="img" aria-label="{label}">'
        f"{''.join(parts)}</svg></figure>"
    )
