"""Frame time by vertices, by pixels and by number of avatars: tables, fitted lines and a picture.

    python benchmarks/levels_of_detail.py LEVELS
    python benchmarks/scaling.py LEVELS --out FOLDER [--backend cpu] [--shadings student,vertex]

LEVELS holds the levels of detail; the one nearest to 20,000 faces is used for the comparisons of
sizes and of several avatars at once. Writes FOLDER/scaling.md, scaling.json and scaling.png. Each
of the three tables is a comparison of imavatar-bench. Rows are timed a few frames at a time in
turn: slopes and ratios are more reliable than milliseconds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from matplotlib import pyplot
from matplotlib.axes import Axes

from imavatar_deploy.atomic import atomic_file
from imavatar_deploy.avatar_io import MANIFEST, open_avatar
from imavatar_deploy.cli.command import Command, closing_lines
from imavatar_deploy.errors import UsageError
from imavatar_deploy.rendering.workers import available_cores
from imavatar_deploy.runtime.bench.combination import TOGETHER, BenchAxes
from imavatar_deploy.runtime.bench.measure import TimingPlan
from imavatar_deploy.runtime.bench.reports import markdown
from imavatar_deploy.runtime.bench.request import BenchRequest, compare
from imavatar_deploy.runtime.bench.results import Facts, growths, median
from imavatar_deploy.runtime.player import STAGES
from imavatar_deploy.runtime.timing import INCLUDED, load_average, machine

SIZES = (128, 256, 512, 768, 1024)
AT_ONCE = (1, 2, 3, 4)
USUAL_SIZE = 512
USUAL_FACES = 20_000


def levels(folder: Path) -> dict[str, int]:
    """Number of faces of every avatar in a folder, the coarsest first."""
    faces = {
        str(path.parent): len(open_avatar(path.parent).avatar.faces)
        for path in folder.glob(f"*/{MANIFEST}")
    }
    if not faces:
        raise UsageError(
            f"no avatar is in {folder}; make some: python benchmarks/levels_of_detail.py {folder}"
        )
    return dict(sorted(faces.items(), key=lambda level: level[1]))


def experiments(
    avatars: dict[str, int], backend: str, shadings: Sequence[str]
) -> dict[str, BenchAxes]:
    """Axes of each comparison: one varies, the others have their usual values."""
    usual = min(avatars, key=lambda name: abs(avatars[name] - USUAL_FACES))
    base = BenchAxes([usual], [(USUAL_SIZE, USUAL_SIZE)], shadings, [backend], [available_cores()])
    return {
        "vertices": replace(base, avatars=list(avatars)),
        "pixels": replace(base, sizes=[(side, side) for side in SIZES]),
        "avatars at once": replace(
            base, shadings=shadings[:1], counts=AT_ONCE, together=list(TOGETHER)
        ),
    }


def timed_rows(rows: Sequence[Facts], **alike: Any) -> list[Facts]:
    """The rows with times whose facts have the given values."""
    return [
        row
        for row in rows
        if "milliseconds" in row and all(row[key] == value for key, value in alike.items())
    ]


def draw_lines(axis: Axes, rows: Sequence[Facts], across: str, scale: float) -> None:
    """Plot the whole frame of each shading, and the stages of the first shading."""
    shadings = list(dict.fromkeys(row["shading"] for row in rows))
    for shading in shadings:
        selection = timed_rows(rows, shading=shading)
        values = [row[across] / scale for row in selection]
        axis.plot(
            values, [median(row) for row in selection], marker="o", label=f"{shading}, whole frame"
        )
    selection = timed_rows(rows, shading=shadings[0])
    for stage in STAGES:
        times = [row["milliseconds"][stage]["p50"] for row in selection]
        axis.plot(
            [row[across] / scale for row in selection],
            times,
            marker=".",
            ls="--",
            lw=1,
            label=f"{shadings[0]}, {stage}",
        )
    axis.set_ylabel("ms a frame, median")
    axis.set_xscale("log")
    axis.set_yscale("log")
    ticks = sorted({row[across] / scale for row in timed_rows(rows)})
    axis.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
    axis.minorticks_off()


def draw_rates(axis: Axes, rows: Sequence[Facts]) -> None:
    """Plot the frames a second of all avatars together."""
    (alone,) = timed_rows(rows, avatars=1)
    for way in TOGETHER:
        selection = [alone, *timed_rows(rows, together=way)]
        axis.plot(
            [row["avatars"] for row in selection],
            [row["frames_per_second"] for row in selection],
            marker="o",
            label=way,
        )
    axis.set_ylabel("frames a second, all together")
    axis.margins(y=0.1)
    axis.set_ylim(bottom=0)


def draw(results: dict[str, list[Facts]], path: Path) -> None:
    figure, (vertices, pixels, at_once) = pyplot.subplots(
        1, 3, figsize=(15, 4.5), layout="constrained"
    )
    draw_lines(vertices, results["vertices"], "vertices", 1e3)
    vertices.set_xlabel(f"thousand vertices, {USUAL_SIZE} x {USUAL_SIZE}")
    draw_lines(pixels, results["pixels"], "covered_pixels", 1e3)
    pixels.set_xlabel(f"thousand covered pixels, {results['pixels'][0]['faces']:,} faces")
    draw_rates(at_once, results["avatars at once"])
    at_once.set_xlabel(f"avatars at once, {USUAL_SIZE} x {USUAL_SIZE}")
    at_once.set_xticks(AT_ONCE)
    for axis in (vertices, pixels, at_once):
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


@click.command(cls=Command)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--backend", default="cpu", show_default=True)
@click.option("--shadings", default="student,vertex", show_default=True)
@click.option("--frames", default=60, show_default=True)
@click.option("--seconds", default=4.0, show_default=True, help="Longest time of a row.")
def main(folder: Path, out: Path, backend: str, shadings: str, frames: int, seconds: float) -> None:
    """Measure the levels of detail in FOLDER."""
    started = time.perf_counter()
    load_before = load_average()
    parts = []
    results: dict[str, list[Facts]] = {}
    for name, axes in experiments(levels(folder), backend, shadings.split(",")).items():
        rows = compare(BenchRequest(axes, TimingPlan(frames, seconds)))
        results[name] = rows
        parts.append(
            f"## {name.capitalize()}\n\n{markdown(rows, [fact['said'] for fact in growths(rows)])}"
        )
        click.echo(parts[-1])
    about = {**machine(), "load_average_before": load_before}
    out.mkdir(parents=True, exist_ok=True)
    with atomic_file(out / "scaling.md") as partial:
        partial.write_text(
            "\n".join([*parts, INCLUDED, "", json.dumps(about), ""]), encoding="utf-8"
        )
    with atomic_file(out / "scaling.json") as partial:
        report = {
            "rows": results,
            "growth": {name: growths(rows) for name, rows in results.items()},
            "machine": about,
        }
        partial.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    with atomic_file(out / "scaling.png") as partial:
        draw(results, partial)
    click.echo(
        closing_lines(
            [out / f"scaling.{kind}" for kind in ("md", "json", "png")],
            time.perf_counter() - started,
            [],
        )
    )


if __name__ == "__main__":
    main()
