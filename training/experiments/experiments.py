"""The table of experiments."""

from __future__ import annotations

from . import expressions, fig5, fig6, tables
from .runs import Experiment

EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        tables.TABLE2,
        tables.TABLE3,
        tables.TABLE4,
        fig5.EXPERIMENT,
        fig6.EXPERIMENT,
        expressions.EXPERIMENT,
    )
}
"""Every experiment by name."""
