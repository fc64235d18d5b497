"""Report: what an export did, how long each step took, and what was measured on the way."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from imavatar_deploy.fidelity.parity import ParityReport
from imavatar_deploy.fidelity.stage_metrics import StageReport
from imavatar_deploy.progress import Say, line_at, quiet


@dataclass
class ExportReport:
    """Filled in as the export goes."""

    seconds: dict[str, float] = field(default_factory=dict)
    """Wall time of each step, in order."""
    surface: dict[str, Any] = field(default_factory=dict)
    """What was measured of the extraction and the bake; JSON-ready, lengths in model units."""
    student: dict[str, Any] = field(default_factory=dict)
    """How the student was trained; JSON-ready, empty where there is none."""
    parity: list[ParityReport] = field(default_factory=list)
    """Each graph, and the student, against the networks."""
    waterfall: list[StageReport] = field(default_factory=list)
    """What each hop from the implicit render on loses in the image."""
    drift: dict[str, str] = field(default_factory=dict)
    """Why, when and with what misses an avatar was written that misses a tolerance."""
    losses_mm: dict[str, float] = field(default_factory=dict)
    """What a file of a format cannot show by its nature: the farthest vertex over the proof poses."""

    notes: list[str] = field(default_factory=list)
    """What the user must be told, a sentence each."""
    say: Say = quiet
    """Takes a line at the start of each step."""
    _start: float = field(default_factory=time.perf_counter)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Announce a step and time it; a step may have several parts."""
        start = time.perf_counter()
        self.say(line_at(start - self._start, name))
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def problems(self) -> str:
        """Every miss, of graphs and of hops, in one sentence; empty when there is none."""
        said = [parity.problems() for parity in self.parity] + [
            hop.problems() for hop in self.waterfall
        ]
        return "; ".join(filter(None, said))

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "seconds": {name: round(seconds, 3) for name, seconds in self.seconds.items()},
            "surface": self.surface,
            **({"student": self.student} if self.student else {}),
            "losses_mm": self.losses_mm,
            **({"waterfall": [hop.as_dict() for hop in self.waterfall]} if self.waterfall else {}),
            **({"drift": self.drift} if self.drift else {}),
            "parity": [parity.as_dict() for parity in self.parity],
            "notes": self.notes,
        }
