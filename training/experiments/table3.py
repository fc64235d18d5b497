"""Table 3: what each of the head model's three lessons (weights, expressions, correctives) is worth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ..settings import LossWeights
from .results import write_comparison
from .runs import Cell, Experiment, Workbench

LESSONS: dict[str, Callable[[LossWeights], LossWeights]] = {
    "weights": lambda losses: replace(losses, skinning=0.0),
    "expressions": lambda losses: replace(losses, expression=0.0),
    "pose correctives": lambda losses: replace(losses, pose=0.0),
}
"""What is taught, and the losses without it."""

MINUS = "imavatar-minus"


def run(bench: Workbench) -> list[Path]:
    """Train and measure IMavatar with each lesson left out in turn, and with none."""
    whole = bench.plan.settings(warm_start=False, variant="imavatar")
    ways = {"imavatar": whole}
    ways |= {
        f"without {name}": replace(whole, losses=drop(whole.losses))
        for name, drop in LESSONS.items()
    }
    ways["none of them (imavatar-minus)"] = replace(whole, variant=MINUS)
    rows: dict[str, list[Cell]] = {}
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


EXPERIMENT = Experiment(
    "table3", "supplementary, Table 3", "the head model's supervision, part by part", run
)
