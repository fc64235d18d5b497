"""Figure 5: normal error against jaw opening, beyond that of all training frames."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from imavatar_deploy.arrays import Array, Float64
from imavatar_deploy.atomic import atomic_file
from imavatar_deploy.conventions import JAW
from imavatar_deploy.optional import require

from ..evaluation.markdown import cell as number
from ..evaluation.markdown import table
from .results import NOT_RUN, facts, write_pages
from .runs import Experiment, ExperimentRun, Trial, nothing_finished
from .tables import baseline

BINS = 5
"""Number of bins with equally many test frames, whose means make the curves."""

Points = dict[str, Float64[Array, "N 2"]]
"""Jaw norm in radians and 1 - mean normal cosine of frames, by variant."""


def run(experiment: ExperimentRun) -> list[Path]:
    """Measure the avatars of Table 2 frame by frame.

    Raises:
        UsageError: the plan is of finished trials only, and there is none.
    """
    trials = {
        variant: {
            subject: trial
            for subject in experiment.plan.subjects
            if (trial := baseline(experiment, variant, subject)) is not None
        }
        for variant in experiment.variants
    }
    unfinished = [variant for variant in trials if not trials[variant]]
    parts = {
        variant: _points(experiment, of_subjects)
        for variant, of_subjects in trials.items()
        if of_subjects
    }
    if not parts:
        raise nothing_finished(experiment.plan)
    points = {variant: np.concatenate(of_subjects) for variant, of_subjects in parts.items()}
    curves = {variant: mean_curve(of_subjects) for variant, of_subjects in parts.items()}
    subjects = [
        subject
        for subject in experiment.plan.subjects
        if any(subject in t for t in trials.values())
    ]
    limit = max(float(_jaw(experiment, subject, "train").max()) for subject in subjects)
    csv_path = experiment.out / "fig5.csv"
    png_path = experiment.out / "fig5.png"
    _write_csv(csv_path, points)
    _draw(png_path, points, curves, limit)
    jaws = next(iter(curves.values()))[:, 0]
    rows = [
        [variant, *(number(value) for value in means[:, 1])] for variant, means in curves.items()
    ]
    lines = [
        *facts(experiment.plan, subjects=subjects),
        "- normal error: 1 - mean cosine where render and truth overlap; "
        f"training jaws reach {limit:.3f} rad",
        *(
            f"- {variant}: {', '.join(trials[variant])} only"
            for variant in points
            if len(trials[variant]) < len(subjects)
        ),
        *([f"- {NOT_RUN}: {', '.join(unfinished)}"] if unfinished else []),
        "",
        *table(["normal error at a mean jaw norm of", *(f"{jaw:.3f}" for jaw in jaws)], rows),
        "",
        f"![]({png_path.name})",
    ]
    document = {
        "training_jaw": limit,
        "curves": {name: means.tolist() for name, means in curves.items()},
    }
    pages = write_pages(
        experiment.plan, "fig5", "Figure 5: normal error against jaw opening", lines, document
    )
    return [*pages, csv_path, png_path]


def curve(points: Float64[Array, "N 2"]) -> Float64[Array, "M 2"]:
    """Mean jaw and mean error of up to `BINS` bins of equally many frames.

    Frames whose error is NaN are left out.
    """
    known = points[~np.isnan(points[:, 1])]
    ordered = known[np.argsort(known[:, 0], kind="stable")]
    bins = np.array_split(ordered, max(1, min(BINS, len(ordered))))
    return np.array([part.mean(axis=0) for part in bins if len(part)]).reshape(-1, 2)


def mean_curve(subjects: Sequence[Float64[Array, "_ 2"]]) -> Float64[Array, "M 2"]:
    """Mean of the curves of several subjects.

    Frames of one jaw, such as those of a closed mouth, would fall into the bins by subject if the
    frames of all subjects were sorted together.
    """
    curves = [curve(points) for points in subjects]
    if len({len(of_subject) for of_subject in curves}) > 1:  # too few frames for all bins
        return curve(np.concatenate(subjects))
    return np.asarray(np.mean(curves, axis=0))


def _points(experiment: ExperimentRun, trials: Mapping[str, Trial]) -> list[Float64[Array, "_ 2"]]:
    """Jaw and error of every test frame of a variant's trials, for each subject."""
    parts = []
    for subject, trial in trials.items():
        cosine = np.array(trial.column("normal cosine"))
        parts.append(np.column_stack([_jaw(experiment, subject, "test"), 1.0 - cosine]))
    return parts


def _jaw(experiment: ExperimentRun, subject: str, which: str) -> Float64[Array, " T"]:
    """Norm of the jaw's axis-angle in every frame of a set."""
    jaw = experiment.dataset(subject, which).track.pose[:, JAW].astype(np.float64)
    return np.asarray(np.linalg.norm(jaw, axis=1))


def _write_csv(path: Path, points: Points) -> None:
    with atomic_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["variant", "jaw_norm_rad", "normal_error"])
        writer.writerows(
            [variant, *map(float, row)] for variant, frames in points.items() for row in frames
        )


def _draw(path: Path, points: Points, curves: Points, limit: float) -> None:
    matplotlib = require("matplotlib", extra="train")
    figures = require("matplotlib.figure", extra="train")
    with matplotlib.rc_context({"font.size": 9}):
        figure = figures.Figure(figsize=(6.4, 4.0), dpi=120, layout="constrained")
        axes = figure.subplots()
        for variant, frames in points.items():
            (line,) = axes.plot(
                curves[variant][:, 0], curves[variant][:, 1], marker="o", label=variant
            )
            axes.scatter(frames[:, 0], frames[:, 1], s=6, alpha=0.35, color=line.get_color())
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
