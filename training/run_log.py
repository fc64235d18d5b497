"""The log of a training run: losses.jsonl, validation.jsonl, TensorBoard and lines for the user."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from imavatar_deploy.optional import require
from imavatar_deploy.progress import Say

from .run_folder import RunFolder
from .settings import Schedule
from .validation import Validation, quality_warnings

REPORT_SECONDS = 10.0
"""Smallest time between reported lines of losses, seconds."""

SMOOTHING = 0.98
"""Exponential smoothing of the losses in those lines; a step has one image, so its losses jump."""

SCALAR_STEPS = 10
"""Steps between points of TensorBoard's curves."""


@dataclass
class RunClock:
    """Progress of a run in steps or in minutes, across interruptions."""

    schedule: Schedule
    planned: int
    """Number of steps of the run, where the schedule gives no minutes."""
    step: int = 0
    """Steps that are done."""
    spent: float = 0.0
    """Seconds of training in earlier processes."""
    _started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Seconds of training, interruptions not counted."""
        return self.spent + time.monotonic() - self._started

    def start(self) -> None:
        """Start counting the seconds of this process."""
        self._started = time.monotonic()

    def progress(self) -> float:
        """Share of the run that is done."""
        return (
            self.seconds / (60.0 * self.schedule.minutes)
            if self.schedule.minutes
            else self.step / self.planned
        )

    def step_label(self) -> str:
        """The step as `120/600`, or as `120` where the schedule gives minutes."""
        return f"{self.step}" if self.schedule.minutes else f"{self.step}/{self.planned}"

    def remaining(self) -> float:
        """Estimated seconds to the end, from the average speed."""
        share = self.progress()
        return self.seconds * (1.0 - share) / share if share > 0.0 else 0.0


class RunLog:
    """Writes the logs of a run. Use it in a `with` block, in the process of rank 0 alone."""

    def __init__(self, folder: RunFolder, clock: RunClock, epoch_steps: int, say: Say) -> None:
        self.folder = folder
        self.clock = clock
        self.epoch_steps = epoch_steps
        self.say = say
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
        """Write the losses of a step; report a line every `REPORT_SECONDS`."""
        step = self.clock.step
        seconds = round(self.clock.seconds, 2)
        row: dict[str, Any] = {
            "step": step,
            "epoch": (step - 1) // self.epoch_steps,
            "seconds": seconds,
            **terms,
        }
        self.log.write(json.dumps(row) + "\n")
        self.log.flush()  # a killed process leaves complete rows
        for name, value in terms.items():
            self.smooth[name] = SMOOTHING * self.smooth.get(name, value) + (1.0 - SMOOTHING) * value
            if step % SCALAR_STEPS == 0:
                self.writer.add_scalar(f"loss/{name}", value, step)
        if time.monotonic() - self.reported > REPORT_SECONDS:
            self.reported = time.monotonic()
            self.say(self._line())

    def _line(self) -> str:
        terms = "  ".join(f"{name} {value:.4g}" for name, value in self.smooth.items())
        minutes = self.clock.remaining() / 60.0
        return f"step {self.clock.step_label()}, {minutes:.1f} min left: {terms}"

    def validation(self, result: Validation) -> None:
        """Write the images and qualities of a validation; report them with any warnings."""
        warnings = quality_warnings(result, self.folder.validations())
        step = self.clock.step
        minutes = self.clock.seconds / 60.0
        picture = self.folder.write_image(f"{step:06d}", result.picture)
        self.writer.add_image("validation", result.picture, step, dataformats="HWC")
        for name, value in result.quality.items():
            self.writer.add_scalar(f"validation/{name}", value, step)
        row: dict[str, Any] = {
            "step": step,
            "minutes": round(minutes, 3),
            **result.quality,
            "lobe": result.lobe,
        }
        row |= {"warnings": warnings} if warnings else {}
        with self.folder.qualities.open("a", encoding="utf-8") as log:
            log.write(json.dumps(row) + "\n")
        quality = "  ".join(f"{name} {value:.4f}" for name, value in result.quality.items())
        self.say(f"validation at step {step}, {minutes:.1f} min: {quality}")
        for sentence in warnings:
            self.say(f"warning: at step {step} {sentence}; see {picture}")
