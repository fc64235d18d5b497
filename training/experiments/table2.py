"""Table 2: the paper's method and its baselines on synthetic subjects, on strong expressions they have not seen."""

from __future__ import annotations

from pathlib import Path

from .results import write_comparison
from .runs import Cell, Experiment, Workbench

PUBLISHED = {"mask IoU": 0.981, "RGB L1": 0.030, "normal cosine": 0.958}
"""The best figure of each of the paper's columns, on its own MakeHuman subjects."""


def run(bench: Workbench) -> list[Path]:
    """Train and measure every variant of every subject."""
    rows = {
        variant: [baseline(bench, variant, subject) for subject in bench.plan.subjects]
        for variant in bench.variants
    }
    notes = ["means over the subjects of the means over their test frames"]
    heading = "Table 2: variants on synthetic subjects, strong unseen expressions"
    return write_comparison(bench.plan, "table2", heading, rows, notes, PUBLISHED)


def baseline(bench: Workbench, variant: str, subject: str) -> Cell:
    """One variant of one subject, trained as the plan says; figure 5 looks at the same."""
    cell = f"{subject}-{variant}"
    settings = bench.plan.settings(variant=variant)
    return bench.scored(cell, bench.trained(cell, subject, settings), subject)


EXPERIMENT = Experiment(
    "table2", "supplementary, Table 2", "all variants on synthetic subjects", run
)
