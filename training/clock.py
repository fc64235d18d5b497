"""Clock: how far a run is, by steps and by time, across interruptions."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from .settings import Schedule


@dataclass
class Clock:
    """Progress of a run of `planned` steps, or of so many minutes where the schedule says that."""

    schedule: Schedule
    planned: int
    step: int = 0
    spent: float = 0.0
    """Seconds of training before this process took over."""
    _started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Of training, interruptions not counted."""
        return self.spent + time.monotonic() - self._started

    def start(self) -> None:
        """Begin to count: what came before was preparation."""
        self._started = time.monotonic()

    def progress(self) -> float:
        """Share of the run that is done."""
        return self.seconds / (60.0 * self.schedule.minutes) if self.schedule.minutes else self.step / self.planned

    def of(self) -> str:
        """`120/600`, or just `120` where the clock decides."""
        return f"{self.step}" if self.schedule.minutes else f"{self.step}/{self.planned}"

    def remaining(self) -> float:
        """Seconds to go, at the pace so far."""
        share = self.progress()
        return self.seconds * (1.0 - share) / share if share > 0.0 else 0.0
