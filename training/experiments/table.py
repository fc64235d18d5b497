"""The table of experiments: adding one is adding a file with its row."""

from __future__ import annotations

from . import expressions, fig5, fig6, table2, table3, table4
from .runs import Experiment

EXPERIMENTS: dict[str, Experiment] = {
    module.EXPERIMENT.name: module.EXPERIMENT
    for module in (table2, table3, table4, fig5, fig6, expressions)
}
"""Every experiment by name."""
