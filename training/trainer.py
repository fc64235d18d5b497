"""Trainer: one process of a training run, step by step, resumable to the last bit."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from imavatar_deploy.errors import InputError, QualityError
from imavatar_deploy.model.frame import Frame, RayBundle
from imavatar_deploy.model.head_avatar import HeadAvatarModel
from imavatar_deploy.model.tracing import TRACERS, MarchTracer, RasterTracer, Tracer
from imavatar_deploy.model.tracing.tracer import TraceResult
from imavatar_deploy.model.variants import VARIANTS
from imavatar_deploy.progress import Progress

from .batch import Batch, draw_batch
from .dataset import FaceDataset
from .divergence import DivergenceMonitor, vanished
from .frame_parameters import FrameParameters, sparsify_gradients
from .free_space import Air
from .losses import image_terms
from .optimisers import hold_shape, make_optimisers, rate_factor, set_rates, shape_factor
from .pseudo_ground_truth import PseudoGroundTruth
from .run_folder import RunFolder
from .run_log import RunClock, RunLog, Say
from .settings import LossWeights, Terms, TracerSettings, TrainSettings
from .validation import evenly, validate
from .warm_start.initial_weights import build_model, take_weights, warm_up

# TrainStep: one image's pixels in, every loss term out; the module that Fabric wraps for several processes.


class TrainStep(nn.Module):
    """A model with the inputs of every frame, traced and compared with images.

    Args:
        truth: None where only masks and colours supervise.
        mixed: see `image_terms`.
    """

    def __init__(
        self,
        model: HeadAvatarModel,
        inputs: FrameParameters,
        tracer: Tracer,
        weights: LossWeights,
        truth: PseudoGroundTruth | None,
        mixed: bool = False,
    ) -> None:
        super().__init__()
        self.model, self.inputs, self.truth = model, inputs, truth
        self.tracer, self.weights, self.mixed = tracer, weights, mixed

    def forward(self, batch: Batch) -> tuple[Tensor, Terms, Tensor]:
        """The weighted loss, its terms, and how many rays met the avatar inside the mask."""
        frame, centre = self.inputs(batch.frame)
        view = RayBundle.of(
            batch.camera, batch.size, batch.pixels, centre=centre, device=batch.pixels.device
        )
        traced = self._trace(frame, view, batch.mask)
        with parametrize.cached():  # weight norm: once a step instead of once a call
            terms = image_terms(
                self.model, frame, view, traced, batch, self.weights, self.truth, self.mixed
            )
        terms |= self.inputs.drift(batch.frame)
        return self.weights.total(terms), terms, (traced.hit & batch.mask).sum()

    @torch.no_grad()
    def _trace(self, frame: Frame, view: RayBundle, foreground: Tensor) -> TraceResult:
        with parametrize.cached():
            return self.tracer.trace(self.model, frame, view, foreground=foreground)


# Which tracer a run uses, and what supervises it.


def make_tracer(
    model: HeadAvatarModel, settings: TracerSettings, say: Callable[[str], None]
) -> Tracer:
    """The tracer that `settings` ask for, or the marcher where the variant allows no other."""
    name = settings.name if model.direction == "forward" else "march"
    if name != settings.name:
        say(
            f"{model.name} maps backward, not for {settings.name}: rays are marched with {settings.samples} samples"
        )
    if name == "march":
        return MarchTracer(samples=settings.samples)
    return RasterTracer(settings.resolution) if name == "raster" else TRACERS[name]()


def supervised(variant: str) -> bool:
    """Whether the head model's pseudo ground truth trains this variant."""
    return VARIANTS[variant].supervised


class Trainer:
    """One process of a run: the model, its optimisers and inputs, and the clock."""

    def __init__(
        self,
        fabric: Any,
        dataset: FaceDataset,
        folder: RunFolder,
        settings: TrainSettings,
        say: Say,
    ) -> None:
        self.fabric, self.dataset, self.folder, self.settings = fabric, dataset, folder, settings
        self.say: Say = say if fabric.is_global_zero else lambda line: None
        if settings.threads:
            torch.set_num_threads(settings.threads)
        self.model = build_model(settings, dataset.head)
        self.inputs = FrameParameters(
            dataset.track, settings.inputs, settings.networks.latent, settings.seed
        )
        self.tracer = make_tracer(self.model, settings.tracer, self.say)
        truth = (
            PseudoGroundTruth(dataset.head, settings.networks.bones)
            if supervised(settings.variant)
            else None
        )
        self.air = Air.around(dataset) if settings.losses.free_space else None
        step = TrainStep(
            self.model, self.inputs, self.tracer, settings.losses, truth, settings.optimiser.mixed
        )
        self.optimisers = make_optimisers(self.model, self.inputs, settings.optimiser)
        self.watch = DivergenceMonitor(settings.schedule.vanished_steps)
        epoch = -(-len(dataset) // fabric.world_size)
        self.clock = RunClock(
            settings.schedule, settings.schedule.steps or settings.schedule.epochs * epoch
        )
        self.epoch_steps = epoch
        self.traced_with: dict[str, torch.Tensor] = {}
        self.saved = time.monotonic()
        self.step, *self.wrapped = fabric.setup(step, *self.optimisers)

    def begin(self, checkpoint: Path | str | None) -> None:
        """Bring the model to where training starts."""
        if checkpoint is not None:
            take_weights(self.model, checkpoint)
        elif self.settings.warm_start:
            if self.fabric.is_global_zero:
                started = time.monotonic()
                self.model.cpu()  # its points and distances are there
                warm_up(self.model, self.settings, self.folder.warm_start, self.say)
                self.model.to(self.fabric.device)
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
        if state["size"] != self.dataset.size:
            raise InputError(
                f"the run was started with frames of {state['size']} pixels, got {self.dataset.size}; resume with the "
                "size it had"
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
        clock, leads = self.clock, self.fabric.is_global_zero
        total = None if self.settings.schedule.minutes else clock.planned
        with (
            RunLog(self.folder, clock, self.epoch_steps, self.say)
            if leads
            else nullcontext() as journal,
            progress("training", total) if leads else nullcontext(lambda steps: None) as advance,
        ):
            advance(clock.step)
            if clock.step == 0 and self.settings.warm_start and not self.folder.validations():
                self.validate(journal)
            while (share := self.fabric.broadcast(clock.progress())) < 1.0:
                terms = self._step(share)
                advance(1)
                if journal:
                    journal.step(terms)
                self._now_and_then(journal)
            self._end(journal)

    def _now_and_then(self, journal: RunLog | None) -> None:
        """What is not done every step."""
        if self.clock.step % self.settings.tracer.refresh_steps == 0:
            self.refresh()
        if self._validates():
            self.validate(journal)
        if time.monotonic() - self.saved > 60.0 * self.settings.schedule.checkpoint_minutes:
            self.save()

    def _end(self, journal: RunLog | None) -> None:
        if self.clock.step % self.settings.tracer.refresh_steps:
            self.refresh()
        if not self._validates():
            self.validate(journal)
        self.save()

    def _validates(self) -> bool:
        steps = self.settings.schedule.validation_steps
        return bool(steps) and self.clock.step % steps == 0

    def _step(self, share: float) -> dict[str, float]:
        clock, settings = self.clock, self.settings
        frame, rng = self._draw(clock.step)
        space = settings.schedule.space_points if settings.losses.space else 0
        batch = draw_batch(self.dataset, frame, settings.schedule, space, rng)
        if self.air:
            batch = self.air.added(batch, self.dataset, settings.schedule.air_points, rng)
        batch = batch.to(self.fabric.device)
        name = self.dataset.track.names[frame]
        shape = shape_factor(settings.schedule, clock.step) if settings.warm_start else 1.0
        set_rates(self.optimisers, rate_factor(settings.schedule.decay, share), shape)
        self.step.zero_grad()
        loss, terms, rays = self.step(batch)
        total, named = (
            float(loss.detach()),
            {key: float(term.detach()) for key, term in terms.items()},
        )
        self.watch.losses(named, total, clock.step, name)
        self.watch.surface(int(rays), int(batch.mask.sum()), clock.step)
        self.fabric.backward(loss)
        if settings.warm_start and clock.step < settings.schedule.colours_first:
            hold_shape(self.model)
        length = self.watch.gradients(
            self.model.parameters(), settings.optimiser.clip, clock.step, name
        )
        sparsify_gradients(self.inputs.trained())
        for optimiser in self.wrapped:
            optimiser.step()
        clock.step += 1
        return {"loss": total, **named, "gradient": length}

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
        if self.inputs.latent.shape[
            1
        ]:  # as published: the first frame's code stands for the others
            self.model.geometry.latent.copy_(self.inputs.latent[0])
        self.traced_with = {
            name: tensor.clone() for name, tensor in self.model.state_dict().items()
        }
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
                "size": self.dataset.size,
                "model": self.model.state_dict(),
                "traced_with": self.traced_with,
                "inputs": self.inputs.state_dict(),
                "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            }
            self.folder.save(self.model, state)
        self.saved = time.monotonic()

    def validate(self, journal: RunLog | None) -> None:
        """Render a few frames and hold them against the images."""
        if journal:
            schedule = self.settings.schedule
            frames = evenly(schedule.validation_frames, len(self.dataset))
            size = schedule.validation_size
            journal.validation(
                validate(self.model, self.inputs, self.dataset, frames, size, self.tracer)
            )
