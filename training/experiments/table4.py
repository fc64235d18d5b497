"""Table 4: how much bad tracking and bad masks of the training video cost."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from .corruption import with_damaged_masks, with_pose_noise
from .results import write_comparison
from .runs import Cell, Corruption, Experiment, Workbench

POSE_NOISE = (0.025, 0.05, 0.1)
"""Standard deviations, radians."""
DAMAGED = (0.1, 0.5, 1.0)
"""Shares of the training frames whose mask is damaged."""


def run(bench: Workbench) -> list[Path]:
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
    rows: dict[str, list[Cell]] = {}
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


EXPERIMENT = Experiment(
    "table4", "supplementary, Table 4", "noise on training poses, damage to training masks", run
)
