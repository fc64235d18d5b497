"""Settings: everything a training run may choose, each field with what it means; kept as the run's config.toml."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, fields

import torch
from torch import Tensor

from imavatar_deploy.errors import UsageError, unknown_name
from imavatar_deploy.model.sizes import NetworkSizes
from imavatar_deploy.model.tracing import TRACERS
from imavatar_deploy.model.variants import VARIANTS

from .warm_start.fits import WarmStartSettings

# LossWeights: how much each term of the losses counts.


Terms = dict[str, Tensor]
"""Loss terms by the name of their weight, not weighted yet."""


@dataclass(frozen=True)
class LossWeights:
    """How much each term counts. The defaults are the published supervised configuration."""

    colour: float = 1.0
    """Sum of absolute differences over the channels, colours in -1..1, a pixel."""
    mask: float = 100.0
    """Binary cross-entropy of the silhouette."""
    sharpness: float = 50.0
    """Alpha: how fast occupancy falls with signed distance in the mask term."""
    skinning: float = 0.1
    """Skinning weights against those of the nearest head-model vertex."""
    pose: float = 10.0
    """Pose correctives against the nearest vertex's."""
    expression: float = 10.0
    """Expression blendshapes against the nearest vertex's."""
    flame_distance: float = 10_000.0
    """Squared squared distance of skin to the head model; needs semantic labels."""
    space: float = 0.0
    """Points in space that an image shows to be empty, where the paper's marcher would look and the quick tracer does
    not; 0 as published."""
    free_space: float = 0.0
    """Points in front of skin, which no mask shows to be empty; needs labels; 0 as published."""
    smooth: float = 0.0
    """Difference of the normals of neighbouring surface points; 0 as published."""
    rules: bool = True
    """Follow the semantic rules where the data has labels: hair, cloth and the inside of the mouth."""
    expression_drift: float = 0.0
    """Squared deviation of optimised expressions from the tracked ones."""
    pose_drift: float = 0.0
    """Squared deviation of optimised poses from the tracked ones."""
    camera_drift: float = 0.0
    """Squared deviation of optimised camera centres from the tracked ones."""

    def total(self, terms: Terms) -> Tensor:
        """The weighted sum of the terms that are there."""
        return torch.stack([getattr(self, name) * term for name, term in terms.items()]).sum()


DECAYS = ("halved", "cosine")


@dataclass(frozen=True)
class OptimiserSettings:
    """How the networks and the inputs learn."""

    learning_rate: float = 1e-4
    """Of Adam, betas 0.9 and 0.999."""
    matrix_rate: float = 0.0
    """Of Muon, which then takes the hidden matrices from Adam; 0 leaves all to Adam, as the paper does."""
    texture_factor: float = 1.0
    """Learning rates of the texture network relative to the others'; a warm start knows the shape and no colours."""
    input_rate: float = 1e-4
    """Of optimised poses, cameras, expressions and latent codes (sparse Adam)."""
    clip: float = 0.0
    """Largest norm of the networks' gradient; 0 for no limit, as published."""
    mixed: bool = False
    """Evaluate the texture network in bfloat16. The search and the surface stay in float32: they converge to 1e-5."""


@dataclass(frozen=True)
class InputSettings:
    """Which of the tracked values are improved while training; each frame has its own."""

    pose: bool = True
    """Bone rotations (as the published code does)."""
    camera: bool = True
    """Camera centres (as the published code does)."""
    expression: bool = False
    """Expression coefficients."""


@dataclass(frozen=True)
class Schedule:
    """How long a run is, how its learning rate falls, and how often it is saved and looked at."""

    epochs: int = 60
    """Times that every frame is seen."""
    steps: int = 0
    """Steps in all, an image each, instead of epochs; 0 for epochs."""
    minutes: float = 0.0
    """Length by the clock instead, the warm start not counted; 0 for epochs or steps. The learning rate follows the
    clock, so two such runs are not equal to the last bit."""
    decay: str = "halved"
    """`halved` after two thirds of the run (40 of 60 epochs, as published), or `cosine` down to a hundredth."""
    pixels: int = 2048
    """Pixels a step: half of them all over the image, half in the face's box."""
    features: float = 0.0
    """Share of the pixels that is taken from brows, eyes and mouth besides, where the data has labels; 0 as published.
    Eyes are a thousandth of an image, and short runs hardly see them."""
    colours_first: int = 0
    """Steps at the beginning in which only the texture network learns; 0 as published, and without a warm start. A warm
    start knows the shape and no colours, and colours that are all wrong pull at the shape."""
    shape_warm_up: int = 0
    """Steps after `colours_first` over which the learning rate of the other networks rises from zero;
    0 as published. At the full rate their first steps shatter what the warm start has fitted."""
    condition_noise: float = 0.0
    """Standard deviation of noise on the expression and jaw that the texture network is told, in half of the pixels; 0
    as published. A video shows few expressions, and colours go astray in those it does not show."""
    space_points: int = 512
    """Points a step for the loss on empty space, where that has a weight."""
    air_points: int = 512
    """Points a step for the loss on free space, where that has a weight."""
    smooth_points: int = 256
    """Surface points a step for the loss on smoothness, where that has a weight."""
    checkpoint_minutes: float = 5.0
    """At most so much work is lost to an accident."""
    validation_steps: int = 500
    """Steps between validations; 0 for one at the end only."""
    validation_frames: int = 3
    """Frames of a validation, evenly spread over the dataset."""
    validation_size: int = 128
    """Width and height of validation images, pixels."""
    vanished_steps: int = 100
    """Give up after so many steps in a row in which no ray meets the avatar."""


@dataclass(frozen=True)
class TracerSettings:
    """How rays find the surface."""

    name: str = "raster"
    """`raster` (guided by the rasterised surface) or `march` (the paper's ray marcher); variants without a forward map
    always march."""
    resolution: int = 128
    """Cells a side of the raster tracer's extraction."""
    samples: int = 64
    """Samples a ray of the marcher; the paper has 100."""
    refresh_steps: int = 50
    """Steps after which the tracer is told that the networks have changed, so that it extracts the surface anew."""


@dataclass(frozen=True)
class TrainSettings:
    """What a training run may choose. The defaults are the paper's networks and schedule, with the quick tracer and the
    warm start.

    Raises:
        UsageError: a choice that does not exist or cannot be.
    """

    variant: str = "imavatar"
    """Row of `model.variants.VARIANTS`."""
    seed: int = 0
    """Of everything random."""
    size: int = 256
    """Side in pixels that frames are resized to."""
    threads: int = 0
    """CPU threads; 0 for all cores. Small networks want one: threads that wait for each other by spinning were 30 times
    slower when another program wanted the second core."""
    warm_start: bool = True
    """Begin from the head model's shape and motion instead of the paper's sphere."""
    networks: NetworkSizes = field(default_factory=NetworkSizes)
    """Sizes of the networks."""
    losses: LossWeights = field(default_factory=LossWeights)
    """What is minimised."""
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    """How the networks learn."""
    inputs: InputSettings = field(default_factory=InputSettings)
    """Which tracked values are improved."""
    schedule: Schedule = field(default_factory=Schedule)
    """How long and how often."""
    tracer: TracerSettings = field(default_factory=TracerSettings)
    """How rays find the surface."""
    fit: WarmStartSettings = field(default_factory=WarmStartSettings)
    """How the warm start fits."""

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
