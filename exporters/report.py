"""ExportReport: the times, measurements and notes of one export."""

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
    """Times, measurements and notes of one export, filled in while it runs."""

    seconds: dict[str, float] = field(default_factory=dict)
    """Wall time of each step, in order."""
    surface: dict[str, Any] = field(default_factory=dict)
    """Measurements of the extraction and the bake; JSON-ready, lengths in model units."""
    student: dict[str, Any] = field(default_factory=dict)
    """How the student was trained; JSON-ready, empty without a student."""
    refinement: dict[str, Any] = field(default_factory=dict)
    """The student before and after its refinement on images; JSON-ready, empty without one."""
    parity: list[ParityReport] = field(default_factory=list)
    """Comparison of each graph, and of the student, with the networks."""
    stages: list[StageReport] = field(default_factory=list)
    """The fidelity report: image loss of each stage, from the implicit render on."""
    drift: dict[str, str] = field(default_factory=dict)
    """Reason, date and misses of an avatar that was written although it misses a tolerance."""
    losses_mm: dict[str, float] = field(default_factory=dict)
    """Limits of the formats: largest vertex displacement over the reference poses that is lost."""
    losses_rgb: dict[str, float] = field(default_factory=dict)
    """Limits of the formats: mean error of a colour channel (0..1) over the reference poses."""

    notes: list[str] = field(default_factory=list)
    """Sentences for the user."""
    say: Say = quiet
    """Takes one line at the start of each step."""
    _start: float = field(default_factory=time.perf_counter)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Announce a step and time it; a step may have several parts."""
        start = time.perf_counter()
        self.say(line_at(start - self._start, name))
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def problems(self) -> str:
        """Every miss, of graphs and of stages, in one sentence; empty when there is none."""
        problems = [parity.problems() for parity in self.parity]
        problems += [stage.problems() for stage in self.stages]
        return "; ".join(filter(None, problems))

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "seconds": {name: round(seconds, 3) for name, seconds in self.seconds.items()},
            "surface": self.surface,
            **({"student": self.student} if self.student else {}),
            **({"refinement": self.refinement} if self.refinement else {}),
            "losses_mm": self.losses_mm,
            "losses_rgb": self.losses_rgb,
            **({"stages": [stage.as_dict() for stage in self.stages]} if self.stages else {}),
            **({"drift": self.drift} if self.drift else {}),
            "parity": [parity.as_dict() for parity in self.parity],
            "notes": self.notes,
        }
