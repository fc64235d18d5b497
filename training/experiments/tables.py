"""Tables 2, 3 and 4 of the supplementary material: baselines, supervision and noisy data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from ..settings import LossWeights
from .corruption import with_damaged_masks, with_pose_noise
from .results import write_comparison
from .runs import Corruption, Experiment, ExperimentRun, Trial

# Table 2: the method and its baselines on strong expressions that training does not see

TABLE2_PUBLISHED = {"mask IoU": 0.981, "RGB L1": 0.030, "normal cosine": 0.958}
"""The best value of each of the paper's columns, on its MakeHuman subjects."""


def run_table2(experiment: ExperimentRun) -> list[Path]:
    """Train and measure every variant on every subject."""
    rows = {
        variant: {
            subject: baseline(experiment, variant, subject) for subject in experiment.plan.subjects
        }
        for variant in experiment.variants
    }
    notes = ["means over the subjects of the means over their test frames"]
    heading = "Table 2: variants on synthetic subjects, strong unseen expressions"
    return write_comparison(experiment.plan, "table2", heading, rows, notes, TABLE2_PUBLISHED)


def baseline(experiment: ExperimentRun, variant: str, subject: str) -> Trial | None:
    """Train and measure one variant on one subject; Figure 5 uses the same trials."""
    settings = experiment.plan.settings(variant=variant)
    return experiment.trained_trial(f"{subject}-{variant}", subject, settings)


TABLE2 = Experiment(
    "table2", "supplementary, Table 2", "all variants on synthetic subjects", run_table2
)


# Table 3: the effect of each loss of the head model's supervision

ABLATIONS: dict[str, Callable[[LossWeights], LossWeights]] = {
    "weights": lambda losses: replace(losses, skinning=0.0),
    "expressions": lambda losses: replace(losses, expression=0.0),
    "pose correctives": lambda losses: replace(losses, pose=0.0),
}
"""What the head model supervises, and the loss weights without it."""

MINUS = "imavatar-minus"


def run_table3(experiment: ExperimentRun) -> list[Path]:
    """Train and measure IMavatar without each loss in turn, and without all."""
    whole = experiment.plan.settings(warm_start=False, variant="imavatar")
    settings_by_row = {"imavatar": whole}
    settings_by_row |= {
        f"without {name}": replace(whole, losses=without(whole.losses))
        for name, without in ABLATIONS.items()
    }
    settings_by_row["none of them (imavatar-minus)"] = replace(whole, variant=MINUS)
    rows: dict[str, dict[str, Trial | None]] = {}
    for row, settings in settings_by_row.items():
        rows[row] = {}
        for subject in experiment.plan.subjects:
            name = f"{subject}-table3-{row.split(' (')[0].replace(' ', '-')}"
            rows[row][subject] = experiment.trained_trial(name, subject, settings)
    notes = [
        "a warm start has the effect of these losses, so that here "
        + (
            "there is one, and rows can differ little"
            if whole.warm_start
            else "there is none, as in the paper"
        ),
    ]
    heading = "Table 3: the head model's supervision, loss by loss"
    return write_comparison(experiment.plan, "table3", heading, rows, notes)


TABLE3 = Experiment(
    "table3", "supplementary, Table 3", "the head model's supervision, part by part", run_table3
)


# Table 4: the effect of bad tracking and bad masks in the training video

POSE_NOISE = (0.025, 0.05, 0.1)
"""Standard deviations, radians."""

DAMAGED_SHARES = (0.1, 0.5, 1.0)
"""Shares of the training frames whose mask is damaged."""


def run_table4(experiment: ExperimentRun) -> list[Path]:
    """Train on clean and on corrupted sets, and measure on clean ones."""
    seed = experiment.plan.seed
    corruptions: dict[str, Corruption | None] = {"clean": None}
    corruptions |= {
        f"pose noise {sigma} rad": partial(with_pose_noise, radians=sigma, seed=seed)
        for sigma in POSE_NOISE
    }
    corruptions |= {
        f"{share:.0%} of masks damaged": partial(with_damaged_masks, share=share, seed=seed)
        for share in DAMAGED_SHARES
    }
    settings = experiment.plan.settings(variant="imavatar")
    rows: dict[str, dict[str, Trial | None]] = {}
    for row, corruption in corruptions.items():
        rows[row] = {}
        for subject in experiment.plan.subjects:
            name = f"{subject}-imavatar" if corruption is None else f"{subject}-{_file_name(row)}"
            rows[row][subject] = experiment.trained_trial(name, subject, settings, corruption)
    notes = [
        "pose noise: normal, on each of a training frame's 15 pose angles; "
        + (
            "training improves poses, as published"
            if settings.inputs.pose
            else "training leaves poses as they are"
        ),
        "damaged masks: one square of 61/512 of the image's side, centred on the outline, all "
        "foreground or background",
        "test frames and their poses are clean",
    ]
    return write_comparison(
        experiment.plan, "table4", "Table 4: noise in tracking and masks", rows, notes
    )


def _file_name(name: str) -> str:
    return name.replace("%", "-percent").replace(" ", "-")


TABLE4 = Experiment(
    "table4",
    "supplementary, Table 4",
    "noise on training poses, damage to training masks",
    run_table4,
)
