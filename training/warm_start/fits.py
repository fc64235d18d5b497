"""Warm start: fit an avatar's three networks to a subject's surfaces by direct 3D supervision, in minutes on a CPU."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from imavatar_deploy.conventions import CONDITION_SIZE, EXPRESSION_SIZE
from imavatar_deploy.model.forward_avatar import ForwardAvatarModel
from imavatar_deploy.model.head_avatar import HeadAvatarModel

from .fitting import Losses, NetworkFit, Report, optimise
from .head_surface import HeadSurface
from .lighting import apply_light
from .sample_pool import SamplePool

Index = NDArray[np.int64]

DISTANCE_WEIGHT, COLOUR_WEIGHT = 30.0, 1.0
"""A millimetre (0.004) costs as much as an error of 0.12 in colour."""
HARMONY = 0.04
"""Distance from the surface, model units, at which an error counts half."""
FOCUS, GENTLENESS = 1.5, 0.6
"""The round for detail: power of the importance that samples follow, and learning rates relative to the first round."""
NORMAL_SPREAD = 0.35
"""Standard deviation, radians, of the rotations normals are seen under: heads turn and faces move."""
MOTION_FLOOR = 0.012
"""Model units; expressions that move less than this are not fitted more precisely than those that do."""
EXPRESSION_WEIGHT, POSE_WEIGHT, SKINNING_WEIGHT = 4.0, 2.0, 0.1
"""Squares for blendshapes: an absolute error would give up the few points that move far."""


@dataclass(frozen=True)
class WarmStartSettings:
    """How long and how finely a warm start fits; the defaults are for networks of the paper's sizes."""

    samples: int = 1_200_000
    """Points drawn around the subject, once."""
    steps: int = 1200
    """Steps of geometry and texture."""
    batch: int = 1280
    """Points a step close to the surface, for distance and colour; half as many again elsewhere, for distance."""
    learning_rate: float = 5e-4
    """Of gains, biases and outputs of geometry and texture."""
    matrix_rate: float = 5e-3
    """Of the hidden matrices of geometry and texture. In equal trials of 240 steps Muon left
    20 % less distance error and 17 to 40 % less colour error than Adam alone."""
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
    """Fit a variant's networks to `subject`, in place. The same settings and threads give the same networks.

    Variants that move points backward keep their own beginning, no motion at all.

    Args:
        report: told name, step, steps and losses of every step.
        snapshots: folder to keep the state of each fit in; a second call with the same folder goes on from there.
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


def shared_with_ghost(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Skinning weights `[V, 6]` of which the ghost bone has half of what the root bone had.

    Images say which of the two carries shoulders and cloth. Weights that begin at zero behind a steep softmax have no
    gradient and would never be the ghost bone's.
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
        found = avatar.deformation(torch.from_numpy(pool.points[index]))
        losses: Losses = {}
        if found.expression.shape[2]:
            expression = (found.expression - target["expression"]) / scale
            losses["expression"] = EXPRESSION_WEIGHT * expression.square().mean()
        if found.pose.shape[1]:
            pose = (found.pose - target["pose"]) / MOTION_FLOOR
            losses["pose"] = POSE_WEIGHT * pose.square().mean()
        losses["weights"] = SKINNING_WEIGHT * divergence(target["weights"], found.weights).mean()
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
    """[50] how far each expression moves its most moved points, so that a blink counts as much as an open mouth."""
    reach = np.quantile(np.linalg.norm(subject.expression, axis=1), 0.999, axis=0)
    return torch.from_numpy(np.maximum(reach, MOTION_FLOOR).astype(np.float32))


def divergence(wanted: Tensor, found: Tensor) -> Tensor:
    """[N] Kullback-Leibler divergence of skinning weights `[N, J]`.

    The network's softmax is steep: a difference of weights would have no gradient where it is surely wrong, and the
    eyeballs would stay with the head for ever.
    """
    ratio = (wanted + 1e-6).log() - (found + 1e-6).log()
    return (wanted * ratio).sum(dim=-1)


def appearance_fit(
    avatar: HeadAvatarModel, pool: SamplePool, settings: WarmStartSettings
) -> NetworkFit:
    """Fit of signed distance everywhere and of colour near the surface; both shape the geometry's feature."""
    smile = [
        index
        for index, name in enumerate(avatar.head.expression_names)
        if name.startswith("mouthSmile")
    ]

    def losses(rng: np.random.Generator) -> Losses:
        close = rng.choice(pool.close, settings.batch)
        index = np.concatenate([close, rng.choice(pool.apart, settings.batch // 2)])
        points, wanted = torch.from_numpy(pool.points[index]), pool.distances(index)
        sdf, feature = avatar.geometry(points)
        distance = (sdf - wanted).abs() / (1.0 + wanted.abs() / HARMONY)
        target = pool.targets(close, ("normal", "colour", "flush"))
        normal, condition = (
            random_normals(target["normal"], rng),
            random_conditions(len(close), rng),
        )
        smiling = (
            condition[:, smile].mean(dim=1, keepdim=True)
            if smile
            else condition.new_zeros(len(close), 1)
        )
        colour = apply_light(target["colour"] + smiling * target["flush"], normal)
        found = avatar.texture(points[: len(close)], normal, condition, feature[: len(close)])
        return {
            "distance": DISTANCE_WEIGHT * distance.mean(),
            "colour": COLOUR_WEIGHT * (found - colour).abs().mean(),
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
    """A second round of `appearance_fit`, gentler, on a pool that is drawn to eyes and mouth."""
    first = appearance_fit(avatar, pool, settings)
    return replace(
        first,
        name="detail",
        steps=settings.detail_steps,
        learning_rate=GENTLENESS * first.learning_rate,
        matrix_rate=GENTLENESS * first.matrix_rate,
        seed=settings.seed + 4,
    )


def random_normals(normal: Tensor, rng: np.random.Generator) -> Tensor:
    """[N, 3] unit normals turned at random, as a moving head shows them."""
    turn = torch.from_numpy(rng.normal(0.0, NORMAL_SPREAD, (len(normal), 3)).astype(np.float32))
    return nn.functional.normalize(normal + torch.linalg.cross(turn, normal), dim=-1)


def random_conditions(count: int, rng: np.random.Generator) -> Tensor:
    """[N, 53] plausible conditions: a few expressions at a time, the jaw more or less open, turned a little."""
    condition = np.zeros((count, CONDITION_SIZE), dtype=np.float32)
    active = rng.uniform(size=(count, EXPRESSION_SIZE)) < 0.15
    condition[:, :EXPRESSION_SIZE] = active * rng.uniform(size=active.shape)
    condition[:, EXPRESSION_SIZE:] = rng.normal(0.0, 0.03, (count, 3))
    condition[:, EXPRESSION_SIZE] += rng.uniform(0.0, 0.35, count)
    return torch.from_numpy(condition)
