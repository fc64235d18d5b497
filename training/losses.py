"""Losses: what a training step minimises, term by term (IMavatar, "Losses"; the published code's weights)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from imavatar_deploy.model.deformation import Deformation
from imavatar_deploy.model.frame import Frame, RayBundle
from imavatar_deploy.model.head_avatar import HeadAvatarModel, SurfacePoints
from imavatar_deploy.model.tracing.tracer import TraceResult

from .batch import Batch
from .free_space import empty_space_term, free_space_term
from .pseudo_ground_truth import PseudoGroundTruth, Targets
from .semantics import SKIN, labelled
from .settings import LossWeights, Terms

# Smoothness: neighbouring points of the surface shall have much the same normal.


REACH = 0.02
"""Model units (5 mm) from a point to its neighbour: finer relief than that is left alone."""


def smoothness_term(
    model: HeadAvatarModel, frame: Frame, points: SurfacePoints, nudges: Tensor
) -> Tensor:
    """Mean squared difference of the canonical normals at some surface points and beside them (UNISURF, equation 9).

    Where nothing but the mask sees a surface, on plain cloth or hair, images leave its relief open; this closes it.

    Args:
        nudges: `[K, 3]` random directions, one for each of at most K points, taken evenly from `points`.
    """
    count = min(len(nudges), len(points.canonical))
    if not count:
        return points.canonical.new_zeros(())
    chosen = torch.linspace(0, len(points.canonical) - 1, count, device=nudges.device).long()
    here = points.canonical[chosen].detach()
    beside = here + REACH * torch.nn.functional.normalize(nudges[:count], dim=1)
    normals = torch.nn.functional.normalize(
        _gradient(model, frame, torch.cat([here, beside])), dim=1
    )
    difference: Tensor = normals[:count] - normals[count:]
    return difference.square().sum(dim=1).mean()


def _gradient(model: HeadAvatarModel, frame: Frame, x: Tensor) -> Tensor:
    """[N, 3] of the signed distance at canonical points, differentiable in the network."""
    x = x.requires_grad_()
    sdf = model.geometry(x, model.geometry_code(frame)).sdf
    (gradient,) = torch.autograd.grad(sdf.sum(), x, create_graph=True)
    return gradient


DIFFERENCE_SCALE = 10.0
"""Blendshapes and correctives are compared at ten times their size, before squaring (as published)."""


def image_terms(
    model: HeadAvatarModel,
    frame: Frame,
    view: RayBundle,
    traced: TraceResult,
    batch: Batch,
    weights: LossWeights,
    truth: PseudoGroundTruth | None,
    mixed: bool = False,
) -> Terms:
    """All terms that compare a traced batch with its image, unweighted, with gradients; each a sum over N pixels / N.

    Args:
        traced: what the rays of `view` met, with the batch's mask as foreground.
        truth: None where only masks and colours supervise (imavatar-minus).
        mixed: evaluate the texture network in bfloat16. Nothing else may be: the search converges to 1e-5.
    """
    count = len(batch.pixels)
    surface = traced.hit & batch.mask
    points = model.attach_gradients(
        traced.canonical[surface], traced.deformed[surface], view.select(surface), frame
    )
    with torch.autocast(points.canonical.device.type, torch.bfloat16, enabled=mixed):
        colour = model.colour(points, frame, 0.0 if batch.noise is None else batch.noise[surface])
    terms = {
        "colour": 2.0 * (colour.float() - batch.colour[surface]).abs().sum() / count,
        "mask": mask_term(model, frame, view, traced, batch, weights.sharpness),
    }
    if weights.space > 0.0:
        terms["space"] = empty_space_term(model, frame, view, batch, weights.sharpness)
    if weights.free_space > 0.0 and batch.air is not None and batch.limit is not None:
        free = free_space_term(model, frame, view, batch.air, batch.limit, weights.sharpness)
        terms["free_space"] = free
    if weights.smooth > 0.0:
        terms["smooth"] = smoothness_term(model, frame, points, batch.nudges)
    if truth is not None:
        semantic = batch.semantic[surface] if weights.rules and batch.semantic is not None else None
        targets = truth(points.canonical, semantic)
        # The fields are to fit where the surface is; it shall not move to where they fit better (as published).
        still = points._replace(
            canonical=points.canonical.detach(), deformed=points.deformed.detach()
        )
        terms |= supervision_terms(model.blend_fields(still, frame), targets, count)
        if semantic is not None:
            terms["flame_distance"] = flame_distance_term(targets, semantic)
    return terms


def mask_term(
    model: HeadAvatarModel,
    frame: Frame,
    view: RayBundle,
    traced: TraceResult,
    batch: Batch,
    sharpness: float,
) -> Tensor:
    """Binary cross-entropy of occupancy against the mask, on every ray that is not a surface ray and has a root."""
    off = ~(traced.hit & batch.mask) & traced.valid
    rays = view.select(off)
    # The distance along the ray is a constant; camera and directions carry what gradient there is.
    along = ((traced.deformed[off] - view.origin.detach()) * rays.directions.detach()).sum(dim=1)
    sdf = model.sdf_at(traced.canonical[off], rays.at(along), frame)
    wanted = batch.mask[off].to(sdf.dtype)
    entropy = binary_cross_entropy_with_logits(-sharpness * sdf, wanted, reduction="sum")
    return entropy / (sharpness * len(batch.pixels))


def supervision_terms(found: Deformation | None, targets: Targets, count: int) -> Terms:
    """Deformation against the head model's, for the fields that the variant has."""
    if found is None:
        return {}
    near, skinned = targets.near, targets.skinned
    terms = {"skinning": (found.weights - targets.weights)[skinned].square().sum() / count}
    if found.pose.shape[1]:
        terms["pose"] = (
            DIFFERENCE_SCALE * (found.pose - targets.pose)[near]
        ).square().sum() / count
    if found.expression.shape[2]:
        terms["expression"] = (
            DIFFERENCE_SCALE * (found.expression - targets.expression)[near]
        ).square().sum() / count
    return terms


def flame_distance_term(targets: Targets, semantic: Tensor) -> Tensor:
    """Mean over skin of the fourth power of the distance to the head model's nearest vertex; zero without skin."""
    squared = targets.distance[labelled(semantic, SKIN, semantic)]
    return squared.square().sum() / max(1, len(squared))
