"""Settings of a training run. The docstrings of the fields become the comments of config.toml."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, fields

import torch
from torch import Tensor

from imavatar_deploy.errors import UsageError, unknown_name
from imavatar_deploy.model.sizes import NetworkSizes
from imavatar_deploy.model.tracing import TRACERS
from imavatar_deploy.model.variants import VARIANTS

from .warm_start.fit_networks import WarmStartSettings

Terms = dict[str, Tensor]
"""Loss terms by the name of their weight, not weighted."""

DECAYS = ("halved", "cosine")
"""Schedules of the learning rate."""


@dataclass(frozen=True)
class LossWeights:
    """Weights of the loss terms. The defaults are the published supervised configuration."""

    colour: float = 1.0
    """Absolute difference of colours in -1..1, summed over the channels of a pixel."""
    mask: float = 100.0
    """Binary cross-entropy of the silhouette."""
    sharpness: float = 50.0
    """Alpha: how fast occupancy falls with signed distance in the mask term."""
    skinning: float = 0.1
    """Skinning weights against those of the nearest head-model vertex."""
    pose: float = 10.0
    """Pose correctives against those of the nearest head-model vertex."""
    expression: float = 10.0
    """Expression blendshapes against those of the nearest head-model vertex."""
    flame_distance: float = 10_000.0
    """Fourth power of the distance of skin to the head model; needs semantic labels."""
    space: float = 0.0
    """Occupancy of points in space that the mask shows to be empty. The paper's marcher samples
    them, the raster tracer does not; 0 as published."""
    free_space: float = 0.0
    """Occupancy of points in front of skin, which no mask shows to be empty; needs semantic labels;
    0 as published."""
    smooth: float = 0.0
    """Difference of the normals of neighbouring surface points; 0 as published."""
    rules: bool = True
    """Apply the semantic rules of hair, cloth and the inside of the mouth where the data has
    labels."""
    expression_drift: float = 0.0
    """Squared deviation of optimised expressions from the tracked ones."""
    pose_drift: float = 0.0
    """Squared deviation of optimised poses from the tracked ones."""
    camera_drift: float = 0.0
    """Squared deviation of optimised camera centres from the tracked ones."""

    def total(self, terms: Terms) -> Tensor:
        """The weighted sum of the given terms."""
        return torch.stack([getattr(self, name) * term for name, term in terms.items()]).sum()


@dataclass(frozen=True)
class OptimiserSettings:
    """Learning rates of the networks and of the per-frame inputs."""

    learning_rate: float = 1e-4
    """Learning rate of Adam, with betas 0.9 and 0.999."""
    matrix_rate: float = 0.0
    """Learning rate of Muon for the hidden matrices; 0 trains these with Adam too, as published."""
    texture_factor: float = 1.0
    """Learning rates of the texture network relative to those of the other networks. A warm start
    fits shape and motion but no colours, so the texture network has more to learn."""
    input_rate: float = 1e-4
    """Learning rate of sparse Adam for poses, cameras, expressions and latent codes."""
    clip: float = 0.0
    """Largest norm of the networks' gradient; 0 for no limit, as published."""
    mixed: bool = False
    """Evaluate the texture network in bfloat16. The search and the surface stay in float32, because
    they converge to 1e-5."""


@dataclass(frozen=True)
class InputSettings:
    """Which tracked values of each frame are optimised while training."""

    pose: bool = True
    """Bone rotations (optimised in the published code)."""
    camera: bool = True
    """Camera centres (optimised in the published code)."""
    expression: bool = False
    """Expression coefficients."""


@dataclass(frozen=True)
class Schedule:
    """Length of a run, samples a step, decay of the learning rate, checkpoints and validations."""

    epochs: int = 60
    """Passes over the frames of the dataset."""
    steps: int = 0
    """Number of steps, with an image each; replaces `epochs` unless 0."""
    minutes: float = 0.0
    """Minutes of training without the warm start; replaces `epochs` and `steps` unless 0. The
    learning rate then follows the clock, so two such runs are not equal bit for bit."""
    decay: str = "halved"
    """`halved` after two thirds of the run (40 of 60 epochs, as published), or `cosine` down to a
    hundredth."""
    pixels: int = 2048
    """Pixels a step: half from the whole image, half from the face's box."""
    features: float = 0.0
    """Share of the pixels that is drawn from brows, eyes and mouth, where the data has labels; 0 as
    published. Eyes cover a thousandth of an image, too little for short runs."""
    colours_first: int = 0
    """Steps at the start that train only the texture network; 0 as published; ignored without a
    warm start. A warm start fits no colours, and the errors of initial colours distort the
    shape."""
    shape_warm_up: int = 0
    """Steps after `colours_first` over which the learning rate of the other networks rises from
    zero; 0 as published. At the full rate the first steps destroy the result of the warm start."""
    condition_noise: float = 0.0
    """Standard deviation of noise on the expression and jaw that condition the texture network, in
    half of the pixels; 0 as published. It improves colours of expressions that are not in the
    video."""
    space_points: int = 512
    """Points a step for the loss on empty space, where that has a weight."""
    air_points: int = 512
    """Points a step for the loss on free space, where that has a weight."""
    smooth_points: int = 256
    """Surface points a step for the loss on smoothness, where that has a weight."""
    checkpoint_minutes: float = 5.0
    """Minutes between checkpoints."""
    validation_steps: int = 500
    """Steps between validations; 0 for a single validation at the end."""
    validation_frames: int = 3
    """Frames of a validation, evenly spread over the dataset."""
    validation_size: int = 128
    """Width and height of validation images, pixels."""
    vanished_steps: int = 100
    """Consecutive steps without a ray that hits the avatar after which the run ends."""


@dataclass(frozen=True)
class TracerSettings:
    """The method that intersects rays with the surface."""

    name: str = "raster"
    """`raster` (guided by the rasterised surface) or `march` (the paper's ray marcher). Variants
    without a forward map always use `march`."""
    resolution: int = 128
    """Grid cells a side of the surface extraction of the raster tracer."""
    samples: int = 64
    """Samples a ray of the marcher; 100 in the paper."""
    refresh_steps: int = 50
    """Steps between refreshes of the tracer, which extract the surface again."""


@dataclass(frozen=True)
class TrainSettings:
    """All settings of a training run.

    The defaults are the paper's networks and schedule, with the raster tracer and the warm start.

    Raises:
        UsageError: a name is unknown, or a value is out of range.
    """

    variant: str = "imavatar"
    """Model variant, a row of `model.variants.VARIANTS`."""
    seed: int = 0
    """Seed of all random numbers."""
    size: int = 256
    """Side to which frames are resized, pixels."""
    threads: int = 0
    """CPU threads; 0 for all cores. One thread suits small networks: with two threads that spin
    while they wait, a run was 30 times slower while another program used the second core."""
    warm_start: bool = True
    """Start from the head model's shape and motion instead of the paper's sphere."""
    networks: NetworkSizes = field(default_factory=NetworkSizes)
    """Sizes of the networks."""
    losses: LossWeights = field(default_factory=LossWeights)
    """Weights of the loss terms."""
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    """Learning rates."""
    inputs: InputSettings = field(default_factory=InputSettings)
    """Tracked values that are optimised."""
    schedule: Schedule = field(default_factory=Schedule)
    """Length of the run and intervals of its tasks."""
    tracer: TracerSettings = field(default_factory=TracerSettings)
    """Intersection of rays with the surface."""
    fit: WarmStartSettings = field(default_factory=WarmStartSettings)
    """Settings of the warm start."""

    def __post_init__(self) -> None:
        choices: tuple[tuple[str, str, Collection[str]], ...] = (
            ("variant", self.variant, VARIANTS),
            ("tracer", self.tracer.name, TRACERS),
            ("decay", self.schedule.decay, DECAYS),
        )
        for kind, name, known in choices:
            if name not in known:
                raise unknown_name(kind, name, known)
        positive = {
            "epochs": self.schedule.epochs,
            "pixels": self.schedule.pixels,
            "steps": self.schedule.steps + 1,
        }
        for name, value in positive.items():
            if value < 1:
                raise UsageError(f"schedule.{name} must be positive, got {value}; see --help")
        if self.size < 8:
            raise UsageError(f"size must be at least 8 pixels, got {self.size}")
        not_negative: dict[str, float] = {
            "seed": self.seed,
            "schedule.minutes": self.schedule.minutes,
        }
        for name in ("checkpoint_minutes", "condition_noise"):
            not_negative[f"schedule.{name}"] = getattr(self.schedule, name)
        for group in (self.losses, self.optimiser):
            not_negative |= {entry.name: getattr(group, entry.name) for entry in fields(group)}
        for name, amount in not_negative.items():
            if amount < 0:
                raise UsageError(f"{name} must not be negative, got {amount}")
