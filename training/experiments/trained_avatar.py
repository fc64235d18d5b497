"""The avatar that pictures are made of: one that was trained already, or the cell of Table 2."""

from __future__ import annotations

from pathlib import Path

from .workbench import Workbench

VARIANT = "imavatar"


def avatar_of(bench: Workbench, subject: str) -> Path:
    """A run or checkpoint of a subject: the plan's own, else IMavatar as Table 2 trains it."""
    if bench.plan.run is not None:
        return bench.plan.run
    return bench.trained(f"{subject}-{VARIANT}", subject, bench.plan.settings(variant=VARIANT))
