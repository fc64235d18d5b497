"""Loop: from a dataset to a trained model, step by step, resumable to the last bit."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.utils import parametrize
from torch.utils.tensorboard import SummaryWriter

from imavatar_deploy.errors import InputError, QualityError
from imavatar_deploy.model.tracing import Tracer
from imavatar_deploy.progress import Progress, silent

from .beginning import build_model, take_weights, warm_up
from .clock import Clock
from .dataset import FaceDataset
from .fabric import make_fabric
from .inputs import Inputs, only_seen_rows
from .optimisers import make_optimisers, rate_factor, set_rates
from .pixels import draw_batch
from .pseudo_truth import PseudoTruth
from .run_folder import RunFolder
from .settings import Settings
from .tracer_choice import make_tracer, supervised
from .train_step import TrainStep
from .validation import evenly, validate
from .watch import Watch, vanished

Say = Callable[[str], None]

REPORT_SECONDS = 10.0
"""Between lines of losses."""
SMOOTHING = 0.98
"""Of the losses in those lines: an image a step makes them jump."""


def train(
    dataset: FaceDataset,
    out: Path,
    settings: Settings,
    *,
    resume: bool = False,
    overwrite: bool = False,
    begin_from: Path | str | None = None,
    device: str = "auto",
    progress: Progress = silent,
    say: Say = lambda line: None,
) -> Path:
    """Train a head avatar on a dataset; `out` becomes the run's folder, which is returned (see `run_folder`).

    Args:
        settings: all that a run may choose; with `resume` those of the run decide, but for how long it shall be.
        resume: go on with the run in `out`, as if it had never stopped.
        overwrite: throw away the run in `out`.
        begin_from: a checkpoint to take the first weights from, instead of a warm start.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        progress: shows how far it is.
        say: told of what happens, a line at a time.

    Raises:
        UsageError: a choice that does not exist, or a run in the way.
        InputError: a run or checkpoint that cannot be read.
        QualityError: a loss is not finite, or the avatar has vanished; the last checkpoint is good.
    """
    folder = RunFolder(Path(out))
    fabric = make_fabric(device)
    if fabric.is_global_zero and not resume:
        folder.begin(settings, overwrite=overwrite)
    fabric.barrier()
    trainer = Trainer(fabric, dataset, folder, settings, say)
    state = folder.load() if resume else None
    if state is not None:
        trainer.restore(state)
    else:
        trainer.begin(begin_from)
    trainer.run(progress)
    return folder.path


class Trainer:
    """One process of a run: the model, its optimisers and inputs, and the clock."""

    def __init__(self, fabric: Any, dataset: FaceDataset, folder: RunFolder, settings: Settings, say: Say) -> None:
        self.fabric, self.dataset, self.folder, self.settings = fabric, dataset, folder, settings
        self.say: Say = say if fabric.is_global_zero else lambda line: None
        self.model = build_model(settings, dataset.head)
        self.inputs = Inputs(dataset.track, settings.inputs, settings.networks.latent, settings.seed)
        self.tracer: Tracer = make_tracer(self.model, settings.tracer, self.say)
        truth = PseudoTruth(dataset.head, settings.networks.bones) if supervised(settings.variant) else None
        step = TrainStep(self.model, self.inputs, self.tracer, settings.losses, truth, settings.optimiser.mixed)
        self.optimisers = make_optimisers(self.model, self.inputs, settings.optimiser)
        self.watch = Watch(settings.schedule.vanished_steps)
        epoch = -(-len(dataset) // fabric.world_size)
        self.clock = Clock(settings.schedule, settings.schedule.steps or settings.schedule.epochs * epoch)
        self.epoch_steps = epoch
        self.traced_with: dict[str, torch.Tensor] = {}
        self.smooth: dict[str, float] = {}
        self.writer: SummaryWriter | None = None
        self.step, *self.wrapped = fabric.setup(step, *self.optimisers)

    def begin(self, checkpoint: Path | str | None) -> None:
        """Bring the model to where training starts."""
        if checkpoint is not None:
            take_weights(self.model, checkpoint)
        elif self.settings.warm_start:
            if self.fabric.is_global_zero:
                started = time.monotonic()
                warm_up(self.model, self.settings, self.folder.warm_start, self.say)
                self.say(f"warm start: {time.monotonic() - started:.0f} s")
            for tensor in self.model.state_dict().values():
                tensor.copy_(self.fabric.broadcast(tensor))
        self.clock.start()
        self.refresh()
        self.save()

    def restore(self, state: dict[str, Any]) -> None:
        """Take everything up where it was saved."""
        if len(state["inputs"]["pose"]) != len(self.dataset):
            raise InputError(
                f"the run was started with {len(state['inputs']['pose'])} frames, and the dataset has "
                f"{len(self.dataset)}; resume with the same dataset and --frames"
            )
        # The tracer's surface is that of its last refresh, not that of the newest weights: an unbroken run's would be.
        self.model.load_state_dict(state["traced_with"])
        self.refresh()
        self.model.load_state_dict(state["model"])
        self.inputs.load_state_dict(state["inputs"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.clock.step, self.clock.spent = state["step"], state["seconds"]
        self.watch.missed = state["missed"]
        self.clock.start()
        if self.fabric.is_global_zero:
            self.folder.forget_after(self.clock.step)
        self.say(f"going on from step {self.clock.step}")

    def run(self, progress: Progress) -> None:
        """Train to the end of the schedule."""
        schedule, clock = self.settings.schedule, self.clock
        saved = reported = time.monotonic()
        if self.fabric.is_global_zero:
            self.writer = SummaryWriter(str(self.folder.tensorboard), purge_step=clock.step)
        with (
            progress("training", None if schedule.minutes else clock.planned) as advance,
            self.folder.losses.open("a", encoding="utf-8") as log,
        ):
            advance(clock.step)
            while (share := self.fabric.broadcast(clock.progress())) < 1.0:
                terms = self._step(share)
                advance(1)
                self._log(log, terms, share)
                if time.monotonic() - reported > REPORT_SECONDS:
                    reported = time.monotonic()
                    self.say(self._line())
                if clock.step % self.settings.tracer.refresh_steps == 0:
                    self.refresh()
                if schedule.validation_steps and clock.step % schedule.validation_steps == 0:
                    self.validate()
                if time.monotonic() - saved > 60.0 * schedule.checkpoint_minutes:
                    self.save()
                    saved = time.monotonic()
            if clock.step % self.settings.tracer.refresh_steps:
                self.refresh()
            if not schedule.validation_steps or clock.step % schedule.validation_steps:
                self.validate()
            self.save()
        if self.writer:
            self.writer.close()

    def _step(self, share: float) -> dict[str, float]:
        clock, settings = self.clock, self.settings
        frame, rng = self._draw(clock.step)
        batch = draw_batch(self.dataset, frame, settings.schedule.pixels, rng).to(self.fabric.device)
        name = self.dataset.track.names[frame]
        set_rates(self.optimisers, rate_factor(settings.schedule.decay, share))
        self.step.zero_grad()
        loss, terms, rays = self.step(batch)
        values = {"loss": float(loss.detach()), **{name: float(term.detach()) for name, term in terms.items()}}
        self.watch.losses(values, clock.step, name)
        self.watch.surface(int(rays), int(batch.mask.sum()), clock.step)
        self.fabric.backward(loss)
        self.watch.gradients(self.model.parameters(), settings.optimiser.clip, clock.step, name)
        only_seen_rows(self.inputs.trained())
        for optimiser in self.wrapped:
            optimiser.step()
        clock.step += 1
        return values

    def _draw(self, step: int) -> tuple[int, np.random.Generator]:
        """The frame of a step of this process, and the generator of its pixels; both depend on the step alone."""
        epoch, place = divmod(step, self.epoch_steps)
        order = np.random.default_rng((self.settings.seed, 2, epoch)).permutation(len(self.dataset))
        mine = place * self.fabric.world_size + self.fabric.global_rank
        return int(order[mine % len(order)]), np.random.default_rng(
            (self.settings.seed, 3, step, self.fabric.global_rank)
        )

    @torch.no_grad()
    def refresh(self) -> None:
        """Show the tracer the newest networks."""
        if self.inputs.latent.shape[1]:  # as published: the first frame's code stands for the others
            self.model.geometry.latent.copy_(self.inputs.latent[0])
        self.traced_with = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        try:
            with parametrize.cached():
                self.tracer.refresh(self.model)
        except InputError as error:
            raise QualityError(f"{vanished(self.clock.step, 0)} ({error})") from error

    def save(self) -> None:
        """Keep all that going on needs."""
        if self.fabric.is_global_zero:
            state = {
                "step": self.clock.step,
                "seconds": self.clock.seconds,
                "missed": self.watch.missed,
                "model": self.model.state_dict(),
                "traced_with": self.traced_with,
                "inputs": self.inputs.state_dict(),
                "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            }
            self.folder.save(self.model, state)

    def validate(self) -> None:
        """Render a few frames and hold them against the images."""
        if not self.fabric.is_global_zero:
            return
        schedule = self.settings.schedule
        frames = evenly(schedule.validation_frames, len(self.dataset))
        found = validate(self.model, self.inputs, self.dataset, frames, schedule.validation_size, self.tracer)
        self.folder.write_image(f"{self.clock.step:06d}", found.picture)
        self.say(
            f"step {self.clock.step}, {self.clock.seconds / 60.0:.1f} min: "
            + "  ".join(f"{name} {value:.4f}" for name, value in found.quality.items())
        )
        if self.writer:
            self.writer.add_image("validation", found.picture, self.clock.step, dataformats="HWC")
            for name, value in found.quality.items():
                self.writer.add_scalar(f"validation/{name}", value, self.clock.step)
        with (self.folder.path / "validation.jsonl").open("a", encoding="utf-8") as log:
            row = {"step": self.clock.step, "seconds": round(self.clock.seconds, 1), **found.quality}
            log.write(json.dumps(row) + "\n")

    def _log(self, log: Any, terms: dict[str, float], share: float) -> None:
        if not self.fabric.is_global_zero:
            return
        step = self.clock.step
        row = {"step": step, "epoch": step // self.epoch_steps, "seconds": round(self.clock.seconds, 2), **terms}
        log.write(json.dumps(row) + "\n")
        log.flush()
        self.smooth = {
            name: SMOOTHING * self.smooth.get(name, value) + (1.0 - SMOOTHING) * value for name, value in terms.items()
        }
        if self.writer and step % 10 == 0:
            for name, value in terms.items():
                self.writer.add_scalar(f"loss/{name}", value, step)

    def _line(self) -> str:
        terms = "  ".join(f"{name} {value:.4g}" for name, value in self.smooth.items())
        left = self.clock.remaining() / 60.0
        return f"step {self.clock.of()}, {left:.1f} min left: {terms}"
