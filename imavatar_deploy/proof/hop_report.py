"""HopReport: what one hop of the waterfall loses, what it may lose, and the sentence about a miss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .measures import MEASURES, WORST, row_of


@dataclass(frozen=True)
class HopReport:
    """One hop, measured or not run."""

    name: str
    start: str
    """What drew the reference."""
    end: str
    """What drew the candidate."""
    measures: Mapping[str, float] = field(default_factory=dict)
    """See `measures.measure`."""
    limits: Mapping[str, float] = field(default_factory=dict)
    """Measure -> the least that is enough; of angles, the most."""
    not_run: str = ""
    """Why there are no measures."""
    frames: Mapping[str, str] = field(default_factory=dict)
    """Measure -> the name of the frame in which it is worst, where frames have names."""

    def misses(self) -> list[str]:
        """The names of the measures that are not good enough."""
        return [name for name in self.limits if name in self.measures and not self._enough(name)]

    def _enough(self, name: str) -> bool:
        value, limit = self.measures[name], self.limits[name]
        return value <= limit if row_of(name).falls else value >= limit

    def problems(self) -> str:
        """Every miss in one sentence; empty when there is none."""
        misses = [self._miss(name) for name in self.misses()]
        stage = f"the stage {self.name} ({self.start} -> {self.end}) differs too much"
        return f"{stage}: {', '.join(misses)}" if misses else ""

    def _miss(self, name: str) -> str:
        bound = "at most" if row_of(name).falls else "at least"
        worst = WORST + name.removeprefix(WORST)
        kind, frame = ("worst" if name == worst else "median"), ""
        if name in self.frames:
            frame = f", worst frame '{self.frames[name]}' with {self.shown(worst)}"
        title = f"{kind} {row_of(name).title}"
        return f"{title} {self.shown(name)} ({bound} {self.asked(name)} required{frame})"

    def shown(self, name: str) -> str:
        """What was measured, with its unit."""
        return spelt(name, self.measures[name])

    def asked(self, name: str) -> str:
        """What is asked for, with its unit; empty where nothing is."""
        return spelt(name, self.limits[name]) if name in self.limits else ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        head = {"hop": self.name, "from": self.start, "to": self.end}
        if self.not_run:
            return {**head, "not_run": self.not_run}
        told = {name: round(value, 5) for name, value in self.measures.items()}
        return {
            **head,
            "passed": not self.misses(),
            "measures": told,
            "limits": dict(self.limits),
            **({"worst_frames": dict(self.frames)} if self.frames else {}),
        }


COLUMNS = ("stage", *(row.title for row in MEASURES.values()))
"""Heads of a table of hops."""


def cells(report: HopReport) -> tuple[str, ...]:
    """One hop's row: median, worst frame in brackets, and below what is asked for where that is missed."""
    head = f"{report.start} -> {report.end}"
    if report.not_run:
        return (f"{head}\nnot run: {report.not_run}", *[""] * len(MEASURES))
    return (head, *(_cell(report, name) for name in MEASURES))


def _cell(report: HopReport, name: str) -> str:
    if name not in report.measures:
        return "not in view"
    missed = [asked for asked in (name, WORST + name) if asked in report.misses()]
    text = f"{report.shown(name)} ({report.shown(WORST + name)})"
    return text + "".join(f"\nMISSED: {asked} {report.asked(asked)}" for asked in missed)


def spelt(name: str, value: float) -> str:
    """A value of a measure, with its unit."""
    unit = row_of(name).unit
    if unit == "dB":
        return f"{value:.1f} dB"
    return f"{value:.2f}{unit}" if unit else f"{value:.4f}"
