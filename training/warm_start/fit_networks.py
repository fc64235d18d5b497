"""Warm start: fits an avatar's three networks to a head surface by direct 3D supervision.

It takes minutes on a CPU.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.conventions import CONDITION_SIZE, EXPRESSION_SIZE
from imavatar_deploy.model.forward_avatar import ForwardAvatarModel
from imavatar_deploy.model.head_avatar import HeadAvatarModel

from .fit_loop import Losses, NetworkFit, Report, optimise
from .head_surface import HeadSurface
from .lighting import apply_light
from .sample_pool import SamplePool

DISTANCE_WEIGHT = 30.0
COLOUR_WEIGHT = 1.0
"""A millimetre (0.004 model units) costs as much as an error of 0.12 in colour."""
HALF_WEIGHT_DISTANCE = 0.04
"""Distance from the surface, model units, at which an error of the distance counts half."""
FOCUS = 1.5
"""Exponent of the importance in the sampling density of the detail fit."""
DETAIL_RATE = 0.6
"""Learning rates of the detail fit, relative to the first fit."""
NORMAL_SPREAD = 0.35
"""Standard deviation, radians, of the random rotations of normals: heads turn and faces move."""
MOTION_FLOOR = 0.012
"""Smallest scale of the error of an expression's displacements, model units."""
EXPRESSION_WEIGHT = 4.0
POSE_WEIGHT = 2.0
SKINNING_WEIGHT = 0.1
"""Blendshapes have squared errors: absolute ones would neglect the few points that move far."""


@dataclass(frozen=True)
class WarmStartSettings:
    """Length and batch sizes of a warm start; the defaults are for the paper's network sizes."""

    samples: int = 1_200_000
    """Points drawn around the subject, once."""
    steps: int = 1200
    """Steps of geometry and texture."""
    batch: int = 1280
    """Points per step close to the surface, for distance and colour; half as many more elsewhere,
    for distance alone."""
    learning_rate: float = 5e-4
    """Of gains, biases and outputs of geometry and texture."""
    matrix_rate: float = 5e-3
    """Of the hidden matrices of geometry and texture, by Muon. In trials of 240 steps its distance
    error was 20 % and its colour error 17 to 40 % lower than that of Adam alone."""
    detail_steps: int = 900
    """Steps of the second round on geometry and texture."""
    deformation_steps: int = 3600
    """Steps of the deformation network."""
    deformation_batch: int = 4096
    """Points a step of the deformation network, close to the surface."""
    deformation_learning_rate: float = 2e-3
    """Of Adam, for the deformation network."""
    seed: int = 0
    """Of the points and batches drawn."""


def warm_start(
    model: HeadAvatarModel,
    subject: HeadSurface,
    settings: WarmStartSettings,
    *,
    report: Report | None = None,
    snapshots: Path | None = None,
) -> None:
    """Fit a model's networks to a head surface, in place.

    The same settings and number of threads give the same networks. Deformation networks of variants
    that map points backward are left at their initial weights, which move nothing.

    Args:
        report: called after every step.
        snapshots: folder for the state of each fit; a later call with it continues from there.
    """
    pool = SamplePool.draw(subject, settings.samples, settings.seed)
    fits = [appearance_fit(model, pool, settings)]
    if isinstance(model, ForwardAvatarModel):
        fits.append(deformation_fit(model, pool, settings))
    if settings.detail_steps:
        close = SamplePool.draw(subject, settings.samples // 2, settings.seed + 3, focus=FOCUS)
        fits.append(detail_fit(model, close, settings))
    for fit in fits:
        optimise(fit, report, snapshots / f"{fit.name}.pt" if snapshots else None)


def shared_with_ghost(weights: Float32[Array, "V 6"]) -> Float32[Array, "V 6"]:
    """Divide the weights of the root bone equally between the root and the ghost bone.

    Training decides from images which of the two carries shoulders and cloth. Weights that start at
    zero behind a steep softmax have no gradient, so the ghost bone could never gain any.
    """
    shared = weights.copy()
    shared[:, :2] = weights[:, :2].mean(axis=1, keepdims=True)
    return shared


def deformation_fit(
    avatar: ForwardAvatarModel, pool: SamplePool, settings: WarmStartSettings
) -> NetworkFit:
    """Fit of blendshapes, correctives and skinning weights near the surface."""
    scale = motion_scale(pool.subject)

    def batch_losses(rng: np.random.Generator) -> Losses:
        index = rng.choice(pool.close, settings.deformation_batch)
        target = pool.targets(index, ("expression", "pose", "weights"))
        fields = avatar.deformation(torch.from_numpy(pool.points[index]))
        losses: Losses = {}
        if fields.expression.shape[2]:
            expression = (fields.expression - target["expression"]) / scale
            losses["expression"] = EXPRESSION_WEIGHT * expression.square().mean()
        if fields.pose.shape[1]:
            pose = (fields.pose - target["pose"]) / MOTION_FLOOR
            losses["pose"] = POSE_WEIGHT * pose.square().mean()
        divergence = kl_divergence(target["weights"], fields.weights)
        losses["weights"] = SKINNING_WEIGHT * divergence.mean()
        return losses

    return NetworkFit(
        "deformation",
        avatar.deformation,
        batch_losses,
        settings.deformation_steps,
        settings.deformation_learning_rate,
        0.0,
        settings.seed + 1,
    )


def motion_scale(subject: HeadSurface) -> Tensor:
    """Largest displacement `[E]` of each expression (0.999 quantile), at least `MOTION_FLOOR`.

    Errors relative to it make a blink count as much as an open mouth.
    """
    reach = np.quantile(np.linalg.norm(subject.expression, axis=1), 0.999, axis=0)
    return torch.from_numpy(np.maximum(reach, MOTION_FLOOR).astype(np.float32))


def kl_divergence(target: Tensor, prediction: Tensor) -> Tensor:
    """Kullback-Leibler divergence `[N]` of skinning weights `[N, J]`.

    The network's softmax is steep: a difference of weights has no gradient where the prediction is
    saturated at a wrong bone, as that of the eyeballs at first is.
    """
    ratio = (target + 1e-6).log() - (prediction + 1e-6).log()
    return (target * ratio).sum(dim=-1)


def appearance_fit(
    avatar: HeadAvatarModel, pool: SamplePool, settings: WarmStartSettings
) -> NetworkFit:
    """Fit of signed distance everywhere and of colour near the surface.

    Both train the feature vector of the geometry network.
    """
    smile = [
        index
        for index, name in enumerate(avatar.head.expression_names)
        if name.startswith("mouthSmile")
    ]

    def losses(rng: np.random.Generator) -> Losses:
        close = rng.choice(pool.close, settings.batch)
        index = np.concatenate([close, rng.choice(pool.apart, settings.batch // 2)])
        points = torch.from_numpy(pool.points[index])
        true_sdf = pool.distances(index)
        sdf, feature = avatar.geometry(points)
        distance = (sdf - true_sdf).abs() / (1.0 + true_sdf.abs() / HALF_WEIGHT_DISTANCE)
        target = pool.targets(close, ("normal", "colour", "flush"))
        normal = random_normals(target["normal"], rng)
        condition = random_conditions(len(close), rng)
        smiling = (
            condition[:, smile].mean(dim=1, keepdim=True)
            if smile
            else condition.new_zeros(len(close), 1)
        )
        colour = apply_light(target["colour"] + smiling * target["flush"], normal)
        rgb = avatar.texture(points[: len(close)], normal, condition, feature[: len(close)])
        return {
            "distance": DISTANCE_WEIGHT * distance.mean(),
            "colour": COLOUR_WEIGHT * (rgb - colour).abs().mean(),
        }

    module = nn.ModuleList([avatar.geometry, avatar.texture])
    return NetworkFit(
        "appearance",
        module,
        losses,
        settings.steps,
        settings.learning_rate,
        settings.matrix_rate,
        settings.seed + 2,
    )


def detail_fit(
    avatar: HeadAvatarModel, pool: SamplePool, settings: WarmStartSettings
) -> NetworkFit:
    """Second `appearance_fit`, at lower learning rates, on a pool denser at eyes and mouth."""
    first = appearance_fit(avatar, pool, settings)
    return replace(
        first,
        name="detail",
        steps=settings.detail_steps,
        learning_rate=DETAIL_RATE * first.learning_rate,
        matrix_rate=DETAIL_RATE * first.matrix_rate,
        seed=settings.seed + 4,
    )


def random_normals(normal: Tensor, rng: np.random.Generator) -> Tensor:
    """Rotate unit normals `[N, 3]` at random, as those of a moving head."""
    turn = torch.from_numpy(rng.normal(0.0, NORMAL_SPREAD, (len(normal), 3)).astype(np.float32))
    return nn.functional.normalize(normal + torch.linalg.cross(turn, normal), dim=-1)


def random_conditions(count: int, rng: np.random.Generator) -> Tensor:
    """Plausible conditions `[N, 53]`: few expressions at a time, the jaw more or less open."""
    condition = np.zeros((count, CONDITION_SIZE), dtype=np.float32)
    active = rng.uniform(size=(count, EXPRESSION_SIZE)) < 0.15
    condition[:, :EXPRESSION_SIZE] = active * rng.uniform(size=active.shape)
    condition[:, EXPRESSION_SIZE:] = rng.normal(0.0, 0.03, (count, 3))
    condition[:, EXPRESSION_SIZE] += rng.uniform(0.0, 0.35, count)
    return torch.from_numpy(condition)
