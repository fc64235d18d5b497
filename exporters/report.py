"""Report: what an export did, how long each step took, and what was measured on the way."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from imavatar_deploy.parity import ParityReport


@dataclass
class Report:
    """Filled in as the export goes."""

    seconds: dict[str, float] = field(default_factory=dict)
    """Wall time of each step, in order."""
    surface: dict[str, Any] = field(default_factory=dict)
    """What was measured of the extraction and the bake; JSON-ready, lengths in model units."""
    parity: list[ParityReport] = field(default_factory=list)
    """Each graph against the networks."""

    notes: list[str] = field(default_factory=list)
    """What the user must be told, a sentence each."""

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step."""
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start

    def problems(self) -> str:
        """Every parity failure in one sentence; empty when there is none."""
        return "; ".join(parity.problems() for parity in self.parity if not parity.passed)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "seconds": {name: round(seconds, 3) for name, seconds in self.seconds.items()},
            "surface": self.surface,
            "parity": [parity.as_dict() for parity in self.parity],
            "notes": self.notes,
        }
