"""Tables 2, 3 and 4 of the supplementary material: baselines, supervision, and noise in the training data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from ..settings import LossWeights
from .corruption import with_damaged_masks, with_pose_noise
from .results import write_comparison
from .runs import Corruption, Experiment, ExperimentRun, Trial

# Table 2: the method and its baselines on synthetic subjects, on strong expressions not in training.

TABLE2_PUBLISHED = {"mask IoU": 0.981, "RGB L1": 0.030, "normal cosine": 0.958}
"""The best figure of each of the paper's columns, on its own MakeHuman subjects."""


def run_table2(bench: ExperimentRun) -> list[Path]:
    """Train and measure every variant of every subject."""
    rows = {
        variant: [baseline(bench, variant, subject) for subject in bench.plan.subjects]
        for variant in bench.variants
    }
    notes = ["means over the subjects of the means over their test frames"]
    heading = "Table 2: variants on synthetic subjects, strong unseen expressions"
    return write_comparison(bench.plan, "table2", heading, rows, notes, TABLE2_PUBLISHED)


def baseline(bench: ExperimentRun, variant: str, subject: str) -> Trial:
    """One variant of one subject, trained as the plan says; figure 5 looks at the same."""
    cell = f"{subject}-{variant}"
    settings = bench.plan.settings(variant=variant)
    return bench.scored(cell, bench.trained(cell, subject, settings), subject)


TABLE2 = Experiment(
    "table2", "supplementary, Table 2", "all variants on synthetic subjects", run_table2
)


# Table 3: what each of the head model's three lessons (weights, expressions, correctives) is worth.


LESSONS: dict[str, Callable[[LossWeights], LossWeights]] = {
    "weights": lambda losses: replace(losses, skinning=0.0),
    "expressions": lambda losses: replace(losses, expression=0.0),
    "pose correctives": lambda losses: replace(losses, pose=0.0),
}
"""What is taught, and the losses without it."""

MINUS = "imavatar-minus"


def run_table3(bench: ExperimentRun) -> list[Path]:
    """Train and measure IMavatar with each lesson left out in turn, and with none."""
    whole = bench.plan.settings(warm_start=False, variant="imavatar")
    ways = {"imavatar": whole}
    ways |= {
        f"without {name}": replace(whole, losses=drop(whole.losses))
        for name, drop in LESSONS.items()
    }
    ways["none of them (imavatar-minus)"] = replace(whole, variant=MINUS)
    rows: dict[str, list[Trial]] = {}
    for name, settings in ways.items():
        rows[name] = []
        for subject in bench.plan.subjects:
            cell = f"{subject}-table3-{name.split(' (')[0].replace(' ', '-')}"
            rows[name].append(bench.scored(cell, bench.trained(cell, subject, settings), subject))
    notes = [
        "a warm start teaches what these losses teach, so that here "
        + (
            "there is one, and rows can differ little"
            if whole.warm_start
            else "there is none, as in the paper"
        ),
    ]
    heading = "Table 3: the head model's supervision, lesson by lesson"
    return write_comparison(bench.plan, "table3", heading, rows, notes)


TABLE3 = Experiment(
    "table3", "supplementary, Table 3", "the head model's supervision, part by part", run_table3
)


# Table 4: how much bad tracking and bad masks of the training video cost.


POSE_NOISE = (0.025, 0.05, 0.1)
"""Standard deviations, radians."""

DAMAGED = (0.1, 0.5, 1.0)
"""Shares of the training frames whose mask is damaged."""


def run_table4(bench: ExperimentRun) -> list[Path]:
    """Train on clean and on corrupted sets, measure on clean ones."""
    seed = bench.plan.seed
    ways: dict[str, Corruption | None] = {"clean": None}
    ways |= {
        f"pose noise {sigma} rad": partial(with_pose_noise, radians=sigma, seed=seed)
        for sigma in POSE_NOISE
    }
    ways |= {
        f"{share:.0%} of masks damaged": partial(with_damaged_masks, share=share, seed=seed)
        for share in DAMAGED
    }
    settings = bench.plan.settings(variant="imavatar")
    rows: dict[str, list[Trial]] = {}
    for name, corruption in ways.items():
        rows[name] = []
        for subject in bench.plan.subjects:
            cell = f"{subject}-imavatar" if corruption is None else f"{subject}-{_file_name(name)}"
            run_folder = bench.trained(cell, subject, settings, corruption)
            rows[name].append(bench.scored(cell, run_folder, subject))
    notes = [
        "pose noise: normal, on each of a training frame's 15 pose angles; "
        + (
            "training improves poses, as published"
            if settings.inputs.pose
            else "training leaves poses as they are"
        ),
        "damaged masks: one square of 61/512 of the image's side, centred on the outline, all foreground or background",
        "test frames and their poses are clean",
    ]
    return write_comparison(
        bench.plan, "table4", "Table 4: noise in tracking and masks", rows, notes
    )


def _file_name(name: str) -> str:
    return name.replace("%", "-percent").replace(" ", "-")


TABLE4 = Experiment(
    "table4",
    "supplementary, Table 4",
    "noise on training poses, damage to training masks",
    run_table4,
)
