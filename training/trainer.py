"""`Trainer`: the training loop of one process; a resumed run equals an unbroken one bit for bit."""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from imavatar_deploy.dataset import FaceDataset
from imavatar_deploy.errors import InputError, QualityError
from imavatar_deploy.model.frame import Frame, RayBundle
from imavatar_deploy.model.head_avatar import HeadAvatarModel
from imavatar_deploy.model.radiance_field import RadianceFieldModel
from imavatar_deploy.model.tracing import TRACERS, MarchTracer, RasterTracer, Tracer
from imavatar_deploy.model.tracing.tracer import TraceResult
from imavatar_deploy.model.variants import VARIANTS
from imavatar_deploy.progress import Progress, Say, quiet

from .batch import Batch, draw_batch
from .divergence import DivergenceMonitor, vanished_message
from .frame_parameters import FrameParameters, sparsify_gradients
from .free_space import Air
from .interruption import Interruption
from .losses import field_terms, image_terms
from .optimisers import hold_shape, make_optimisers, rate_factor, set_rates, shape_factor
from .pseudo_ground_truth import PseudoGroundTruth
from .run_folder import RunFolder
from .run_log import RunClock, RunLog
from .settings import LossWeights, Terms, TracerSettings, TrainSettings
from .validation import evenly_spaced, validate
from .warm_start.initial_weights import build_model, take_weights, warm_up


class TrainStep(nn.Module):
    """Computes the losses of a batch; the module that Fabric wraps for several processes.

    Args:
        model: the avatar.
        inputs: inputs of every training frame.
        tracer: intersects rays with the surface.
        weights: weights of the loss terms.
        truth: None where only masks and colours supervise.
        mixed: evaluate the texture network in bfloat16.
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
        self.model = model
        self.inputs = inputs
        self.tracer = tracer
        self.weights = weights
        self.truth = truth
        self.mixed = mixed

    def forward(self, batch: Batch) -> tuple[Tensor, Terms, Tensor]:
        """The weighted loss, its terms, and the number of rays that hit inside the mask."""
        frame, centre = self.inputs(batch.frame)
        view = RayBundle.of(
            batch.camera, batch.size, batch.pixels, centre=centre, device=batch.pixels.device
        )
        if isinstance(self.model, RadianceFieldModel):
            terms, hits = self._field_terms(self.model, frame, view, batch)
        else:
            terms, hits = self._surface_terms(frame, view, batch)
        terms |= self.inputs.drift(batch.frame)
        return self.weights.total(terms), terms, hits.sum()

    def _surface_terms(self, frame: Frame, view: RayBundle, batch: Batch) -> tuple[Terms, Tensor]:
        traced = self._trace(frame, view, batch.mask)
        with parametrize.cached():  # weight normalisation once a step instead of once a call
            terms = image_terms(
                self.model, frame, view, traced, batch, self.weights, self.truth, self.mixed
            )
        return terms, traced.hit & batch.mask

    def _field_terms(
        self, model: RadianceFieldModel, frame: Frame, view: RayBundle, batch: Batch
    ) -> tuple[Terms, Tensor]:
        assert isinstance(self.tracer, MarchTracer)
        with parametrize.cached():
            return field_terms(
                model, frame, view, batch, self.weights, self.tracer.samples, self.mixed
            )

    @torch.no_grad()
    def _trace(self, frame: Frame, view: RayBundle, foreground: Tensor) -> TraceResult:
        with parametrize.cached():
            return self.tracer.trace(self.model, frame, view, foreground=foreground)


def make_tracer(model: HeadAvatarModel, settings: TracerSettings, say: Say) -> Tracer:
    """The tracer of `settings`, or the ray marcher for a backward variant."""
    name = settings.name if model.direction == "forward" else "march"
    if name != settings.name:
        say(
            f"{model.name} maps backward and cannot use the {settings.name} tracer: rays are "
            f"marched with {settings.samples} samples"
        )
    if name == "march":
        return MarchTracer(samples=settings.samples)
    return RasterTracer(settings.resolution) if name == "raster" else TRACERS[name]()


def is_supervised(variant: str) -> bool:
    """Whether a variant is supervised by the head model's pseudo ground truth."""
    return VARIANTS[variant].supervised


class Trainer:
    """One process of a run: the model, its inputs and optimisers, and the clock.

    Args:
        fabric: launched Lightning Fabric.
        dataset: frames of one subject.
        folder: files of the run.
        settings: settings of the run, for the size of the dataset.
        say: receives lines about the run, in the process of rank 0 alone.
    """

    def __init__(
        self,
        fabric: Any,
        dataset: FaceDataset,
        folder: RunFolder,
        settings: TrainSettings,
        say: Say,
    ) -> None:
        self.fabric = fabric
        self.dataset = dataset
        self.folder = folder
        self.settings = settings
        self.say: Say = say if fabric.is_global_zero else quiet
        if settings.threads:
            torch.set_num_threads(settings.threads)
        self.model = build_model(settings, dataset.head, dataset.consent)
        self.inputs = FrameParameters(
            dataset.track, settings.inputs, settings.networks.latent, settings.seed
        )
        self.tracer = make_tracer(self.model, settings.tracer, self.say)
        truth = (
            PseudoGroundTruth(dataset.head, settings.networks.bones)
            if is_supervised(settings.variant)
            else None
        )
        self.air = Air.around(dataset) if settings.losses.free_space else None
        step = TrainStep(
            self.model, self.inputs, self.tracer, settings.losses, truth, settings.optimiser.mixed
        )
        self.optimisers = make_optimisers(self.model, self.inputs, settings.optimiser)
        self.divergence = DivergenceMonitor(settings.schedule.vanished_steps)
        self.epoch_steps = -(-len(dataset) // fabric.world_size)
        planned = settings.schedule.steps or settings.schedule.epochs * self.epoch_steps
        self.clock = RunClock(settings.schedule, planned)
        self.traced_with: dict[str, torch.Tensor] = {}
        self.saved = time.monotonic()
        self.step, *self.wrapped = fabric.setup(step, *self.optimisers)

    def begin(self, checkpoint: Path | str | None) -> None:
        """Initialise the model from a checkpoint, a warm start or the published initialisation."""
        if checkpoint is not None:
            take_weights(self.model, checkpoint)
        elif self.settings.warm_start:
            if self.fabric.is_global_zero:
                started = time.monotonic()
                self.model.cpu()  # the points and distances of the warm start are on the CPU
                warm_up(self.model, self.settings, self.folder.warm_start, self.say)
                self.model.to(self.fabric.device)
                self.say(f"warm start: {time.monotonic() - started:.0f} s")
            for tensor in self.model.state_dict().values():
                tensor.copy_(self.fabric.broadcast(tensor))
        self.clock.start()
        self.refresh()
        self.save()

    def restore(self, state: dict[str, Any]) -> None:
        """Restore the state of a run, as `save` wrote it.

        Raises:
            InputError: the dataset has another number of frames or another size.
        """
        if len(state["inputs"]["pose"]) != len(self.dataset):
            raise InputError(
                f"the run was started with {len(state['inputs']['pose'])} frames, and the dataset "
                f"has {len(self.dataset)}; resume with the same dataset and frames "
                "(--frames)"
            )
        if state["size"] != self.dataset.size:
            raise InputError(
                f"the run was started with frames of {state['size']} pixels, got "
                f"{self.dataset.size}; resume with the same size"
            )
        # An unbroken run traces with the surface of the last refresh, not of the newest weights.
        self.model.load_state_dict(state["traced_with"])
        self.refresh()
        self.model.load_state_dict(state["model"])
        self.inputs.load_state_dict(state["inputs"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.clock.step = state["step"]
        self.clock.spent = state["seconds"]
        self.divergence.missed = state["missed"]
        self.clock.start()
        if self.fabric.is_global_zero:
            self.folder.truncate_logs(self.clock.step)
        self.say(f"resuming from step {self.clock.step}")

    def run(self, progress: Progress) -> None:
        """Train to the end of the schedule.

        A signal that ends the process, such as Ctrl-C, acts when the step is finished and saved; a
        second one acts at once.

        Raises:
            KeyboardInterrupt: the run was interrupted; `restore` continues it.
        """
        clock = self.clock
        is_first = self.fabric.is_global_zero
        total = None if self.settings.schedule.minutes else clock.planned
        with (
            RunLog(self.folder, clock, self.epoch_steps, self.say)
            if is_first
            else nullcontext() as log,
            progress("training", total) if is_first else nullcontext(lambda steps: None) as advance,
        ):
            advance(clock.step)
            if clock.step == 0 and self.settings.warm_start and not self.folder.validations():
                self.validate(log)
            with Interruption() as interruption:
                while (share := self._share(interruption)) < 1.0:
                    terms = self._step(share)
                    advance(1)
                    if log:
                        log.step(terms)
                    self._run_periodic_tasks(log)
                self._end(log)

    def _share(self, interruption: Interruption) -> float:
        """The share of the run that is done; after a signal, save and end the run.

        The first process decides, so that all of them end at the same step.
        """
        share: float
        share, ends = self.fabric.broadcast((self.clock.progress(), interruption.requested))
        if ends:
            self.save()
            interruption.end()
        return share

    def _run_periodic_tasks(self, log: RunLog | None) -> None:
        """Refresh the tracer, validate and save when they are due."""
        if self.clock.step % self.settings.tracer.refresh_steps == 0:
            self.refresh()
        if self._validates():
            self.validate(log)
        if time.monotonic() - self.saved > 60.0 * self.settings.schedule.checkpoint_minutes:
            self.save()

    def _end(self, log: RunLog | None) -> None:
        if self.clock.step % self.settings.tracer.refresh_steps:
            self.refresh()
        if not self._validates():
            self.validate(log)
        self.save()

    def _validates(self) -> bool:
        steps = self.settings.schedule.validation_steps
        return bool(steps) and self.clock.step % steps == 0

    def _step(self, share: float) -> dict[str, float]:
        clock = self.clock
        settings = self.settings
        frame, rng = self._draw(clock.step)
        space = settings.schedule.space_points if settings.losses.space else 0
        batch = draw_batch(self.dataset, frame, settings.schedule, space, rng)
        if self.air:
            batch = self.air.add_to(batch, self.dataset, settings.schedule.air_points, rng)
        if isinstance(self.model, RadianceFieldModel):
            jitter = rng.uniform(size=len(batch.pixels)).astype(np.float32)
            batch = batch._replace(jitter=torch.from_numpy(jitter))
        batch = batch.to(self.fabric.device)
        name = self.dataset.track.names[frame]
        shape = shape_factor(settings.schedule, clock.step) if settings.warm_start else 1.0
        set_rates(self.optimisers, rate_factor(settings.schedule.decay, share), shape)
        self.step.zero_grad()
        loss, terms, hits = self.step(batch)
        total = float(loss.detach())
        values = {key: float(term.detach()) for key, term in terms.items()}
        self.divergence.losses(values, total, clock.step, name)
        self.divergence.surface(int(hits), int(batch.mask.sum()), clock.step)
        self.fabric.backward(loss)
        if settings.warm_start and clock.step < settings.schedule.colours_first:
            hold_shape(self.model)
        norm = self.divergence.gradients(
            self.model.parameters(), settings.optimiser.clip, clock.step, name
        )
        sparsify_gradients(self.inputs.trainable_parameters())
        for optimiser in self.wrapped:
            optimiser.step()
        clock.step += 1
        return {"loss": total, **values, "gradient": norm}

    def _draw(self, step: int) -> tuple[int, np.random.Generator]:
        """The frame of a step of this process, and the random generator of its pixels.

        Both depend on the step alone, so that a resumed run repeats an unbroken one.
        """
        seed = self.settings.seed
        rank = self.fabric.global_rank
        epoch, position = divmod(step, self.epoch_steps)
        order = np.random.default_rng((seed, 2, epoch)).permutation(len(self.dataset))
        index = position * self.fabric.world_size + rank
        return int(order[index % len(order)]), np.random.default_rng((seed, 3, step, rank))

    @torch.no_grad()
    def refresh(self) -> None:
        """Update the tracer to the current networks.

        Raises:
            QualityError: the networks have no surface.
        """
        if self.inputs.latent.shape[1]:
            # As published, the code of the first frame stands for all frames.
            self.model.geometry.latent.copy_(self.inputs.latent[0])
        self.traced_with = {
            name: tensor.clone() for name, tensor in self.model.state_dict().items()
        }
        try:
            with parametrize.cached():
                self.tracer.refresh(self.model)
        except InputError as error:
            raise QualityError(f"{vanished_message(self.clock.step, 0)} ({error})") from error

    def save(self) -> None:
        """Write the checkpoint and the state that `restore` reads."""
        if self.fabric.is_global_zero:
            state = {
                "step": self.clock.step,
                "seconds": self.clock.seconds,
                "missed": self.divergence.missed,
                "size": self.dataset.size,
                "model": self.model.state_dict(),
                "traced_with": self.traced_with,
                "inputs": self.inputs.state_dict(),
                "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            }
            self.folder.save(self.model, state)
        self.saved = time.monotonic()

    def validate(self, log: RunLog | None) -> None:
        """Render some frames, compare them with the dataset and log the result; rank 0 alone."""
        if log:
            schedule = self.settings.schedule
            frames = evenly_spaced(schedule.validation_frames, len(self.dataset))
            size = schedule.validation_size
            log.validation(
                validate(self.model, self.inputs, self.dataset, frames, size, self.tracer)
            )
