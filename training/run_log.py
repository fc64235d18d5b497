"""Journal: what a run writes down of its steps: losses.jsonl, validation, TensorBoard, and lines to read."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from imavatar_deploy.optional import require

from .run_folder import RunFolder
from .settings import Schedule
from .validation import Validation, quality_warnings

# Clock: how far a run is, by steps and by time, across interruptions.


@dataclass
class RunClock:
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
        return (
            self.seconds / (60.0 * self.schedule.minutes)
            if self.schedule.minutes
            else self.step / self.planned
        )

    def of(self) -> str:
        """`120/600`, or just `120` where the clock decides."""
        return f"{self.step}" if self.schedule.minutes else f"{self.step}/{self.planned}"

    def remaining(self) -> float:
        """Seconds to go, at the pace so far."""
        share = self.progress()
        return self.seconds * (1.0 - share) / share if share > 0.0 else 0.0


Say = Callable[[str], None]

REPORT_SECONDS = 10.0
"""Between lines of losses."""

SMOOTHING = 0.98
"""Of the losses in those lines: an image a step makes them jump."""

SCALAR_STEPS = 10
"""Between points of TensorBoard's curves."""


class RunLog:
    """Open from the first step of a process to its last; only the process that leads has one."""

    def __init__(self, folder: RunFolder, clock: RunClock, epoch_steps: int, say: Say) -> None:
        self.folder, self.clock, self.epoch_steps, self.say = folder, clock, epoch_steps, say
        self.log = folder.losses.open("a", encoding="utf-8")
        require("tensorboard", extra="train")
        curves = require("torch.utils.tensorboard", extra="train")
        self.writer = curves.SummaryWriter(str(folder.tensorboard), purge_step=clock.step)
        self.smooth: dict[str, float] = {}
        self.reported = time.monotonic()

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.log.close()
        self.writer.close()

    def step(self, terms: dict[str, float]) -> None:
        """Note the losses of a step; say them now and then."""
        step, seconds = self.clock.step, round(self.clock.seconds, 2)
        row: dict[str, Any] = {
            "step": step,
            "epoch": (step - 1) // self.epoch_steps,
            "seconds": seconds,
            **terms,
        }
        self.log.write(json.dumps(row) + "\n")
        self.log.flush()  # a killed run has written what it has done
        for name, value in terms.items():
            self.smooth[name] = SMOOTHING * self.smooth.get(name, value) + (1.0 - SMOOTHING) * value
            if step % SCALAR_STEPS == 0:
                self.writer.add_scalar(f"loss/{name}", value, step)
        if time.monotonic() - self.reported > REPORT_SECONDS:
            self.reported = time.monotonic()
            self.say(self._line())

    def _line(self) -> str:
        terms = "  ".join(f"{name} {value:.4g}" for name, value in self.smooth.items())
        return f"step {self.clock.of()}, {self.clock.remaining() / 60.0:.1f} min left: {terms}"

    def validation(self, found: Validation) -> None:
        """Note how some frames look and how good they are; say what is wrong with them."""
        warnings = quality_warnings(found, self.folder.validations())
        step, minutes = self.clock.step, self.clock.seconds / 60.0
        picture = self.folder.write_image(f"{step:06d}", found.picture)
        self.writer.add_image("validation", found.picture, step, dataformats="HWC")
        for name, value in found.quality.items():
            self.writer.add_scalar(f"validation/{name}", value, step)
        row: dict[str, Any] = {
            "step": step,
            "minutes": round(minutes, 3),
            **found.quality,
            "lobe": found.lobe,
        }
        row |= {"warnings": warnings} if warnings else {}
        with self.folder.qualities.open("a", encoding="utf-8") as log:
            log.write(json.dumps(row) + "\n")
        quality = "  ".join(f"{name} {value:.4f}" for name, value in found.quality.items())
        self.say(f"validation at step {step}, {minutes:.1f} min: {quality}")
        for sentence in warnings:
            self.say(f"warning: at step {step} {sentence}; see {picture}")
