"""Metric: what one row of the table of metrics says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .case import ABSENT, Case
from .masking import Masking


@dataclass(frozen=True)
class Metric:
    """One figure of quality, owned by the file that computes it."""

    name: str
    unit: str
    """Empty for a plain number."""
    better: str
    """`higher` or `lower`."""
    summary: str
    """One sentence of how it is measured, for the report."""
    measure: Callable[[Case, Masking], float]
    """NaN where a frame leaves nothing to measure."""
    needs: tuple[str, ...] = ()
    """Fields of a `Case` that must not be None; keys of `case.ABSENT`."""

    def absent(self, case: Case) -> str | None:
        """Why this case cannot be measured; None when it can."""
        return next((ABSENT[part] for part in self.needs if getattr(case, part) is None), None)

    def worst_of(self, values: list[float]) -> int:
        """Index of the worst value."""
        pick = min if self.better == "higher" else max
        return pick(range(len(values)), key=values.__getitem__)
