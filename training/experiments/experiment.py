"""Experiment: what one row of the table of experiments says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .workbench import Workbench


@dataclass(frozen=True)
class Experiment:
    """One of the paper's experiments, owned by the file that runs it."""

    name: str
    place: str
    """Where the paper has it."""
    summary: str
    """One line for `--help`."""
    run: Callable[[Workbench], list[Path]]
    """Does all of it, and returns what it wrote."""
