"""Figure 5: how the error of normals grows as the jaw opens further than any training frame shows."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.atomic import atomic_file
from imavatar_deploy.conventions import JAW
from imavatar_deploy.optional import require

from ..evaluation.markdown import cell as number
from ..evaluation.markdown import table
from .results import facts, write_pages
from .runs import Experiment, ExperimentRun
from .tables import baseline

BINS = 5
"""Equally many test frames in each: means over these make the curves."""

Points = dict[str, NDArray[np.float64]]
"""By variant, `[N, 2]`: jaw norm in radians, and 1 - mean normal cosine, of every test frame of every subject."""


def run(bench: ExperimentRun) -> list[Path]:
    """Measure the cells of Table 2 frame by frame."""
    points = {variant: _points(bench, variant) for variant in bench.variants}
    curves = {variant: curve(found) for variant, found in points.items()}
    limit = max(float(_jaw(bench, subject, "train").max()) for subject in bench.plan.subjects)
    csv_path, png_path = bench.out / "fig5.csv", bench.out / "fig5.png"
    _write_csv(csv_path, points)
    _draw(png_path, points, curves, limit)
    jaws = next(iter(curves.values()))[:, 0]
    rows = [
        [variant, *(number(value) for value in found[:, 1])] for variant, found in curves.items()
    ]
    lines = [
        *facts(bench.plan),
        f"- normal error: 1 - mean cosine where render and truth overlap; training jaws reach {limit:.3f} rad",
        "",
        *table(["normal error at a mean jaw norm of", *(f"{jaw:.3f}" for jaw in jaws)], rows),
        "",
        f"![]({png_path.name})",
    ]
    document = {
        "training_jaw": limit,
        "curves": {name: found.tolist() for name, found in curves.items()},
    }
    pages = write_pages(
        bench.plan, "fig5", "Figure 5: normal error against jaw opening", lines, document
    )
    return [*pages, csv_path, png_path]


def curve(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """[<= BINS, 2] mean jaw and mean error of bins of equally many frames; frames without a number are left out."""
    known = points[~np.isnan(points[:, 1])]
    ordered = known[np.argsort(known[:, 0], kind="stable")]
    bins = np.array_split(ordered, max(1, min(BINS, len(ordered))))
    return np.array([part.mean(axis=0) for part in bins if len(part)]).reshape(-1, 2)


def _points(bench: ExperimentRun, variant: str) -> NDArray[np.float64]:
    parts = []
    for subject in bench.plan.subjects:
        cosine = np.array(baseline(bench, variant, subject).column("normal cosine"))
        parts.append(np.column_stack([_jaw(bench, subject, "test"), 1.0 - cosine]))
    return np.concatenate(parts)


def _jaw(bench: ExperimentRun, subject: str, which: str) -> NDArray[np.float64]:
    """[T] norm of the jaw's axis-angle in a set."""
    jaw = bench.dataset(subject, which).track.pose[:, JAW].astype(np.float64)
    return np.asarray(np.linalg.norm(jaw, axis=1))


def _write_csv(path: Path, points: Points) -> None:
    with atomic_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["variant", "jaw_norm_rad", "normal_error"])
        writer.writerows(
            [variant, *map(float, row)] for variant, found in points.items() for row in found
        )


def _draw(path: Path, points: Points, curves: Points, limit: float) -> None:
    matplotlib = require("matplotlib", extra="train")
    figures = require("matplotlib.figure", extra="train")
    with matplotlib.rc_context({"font.size": 9}):
        figure = figures.Figure(figsize=(6.4, 4.0), dpi=120, layout="constrained")
        axes = figure.subplots()
        for variant, found in points.items():
            (line,) = axes.plot(
                curves[variant][:, 0], curves[variant][:, 1], marker="o", label=variant
            )
            axes.scatter(found[:, 0], found[:, 1], s=6, alpha=0.35, color=line.get_color())
        axes.axvline(limit, color="grey", linestyle=":", label="widest training jaw")
        axes.set_xlabel("norm of the jaw's axis-angle [rad]")
        axes.set_ylabel("normal error (1 - cosine)")
        axes.set_ylim(bottom=0.0)
        axes.legend()
        with atomic_file(path) as partial:
            figure.savefig(partial)


EXPERIMENT = Experiment(
    "fig5", "supplementary, Figure 5", "normal error against jaw opening, all variants", run
)
