"""Loss terms of training (IMavatar, "Losses"; weights as in the published code)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy, binary_cross_entropy_with_logits

from imavatar_deploy.model.deformation import Deformation
from imavatar_deploy.model.frame import Frame, RayBundle
from imavatar_deploy.model.head_avatar import HeadAvatarModel, SurfacePoints
from imavatar_deploy.model.radiance_field import RadianceFieldModel
from imavatar_deploy.model.tracing.tracer import TraceResult

from .batch import Batch
from .free_space import empty_space_term, free_space_term
from .pseudo_ground_truth import PseudoGroundTruth, Targets
from .semantics import SKIN_LABELS, has_label
from .settings import LossWeights, Terms

NEIGHBOUR_DISTANCE = 0.02
"""Distance between the points whose normals are compared, model units (5 mm). The smoothness term
does not affect finer relief."""

OPACITY_MARGIN = 1e-3
"""Least distance of opacities from 0 and 1 in the mask term, which is infinite there."""

DIFFERENCE_SCALE = 10.0
"""Factor on differences of blendshapes and correctives before squaring (as published)."""


def smoothness_term(
    model: HeadAvatarModel, frame: Frame, points: SurfacePoints, nudges: Tensor
) -> Tensor:
    """Mean squared difference of canonical normals at neighbouring points (UNISURF, equation 9).

    Images do not determine the relief of plain cloth or hair; this term makes it smooth.

    Args:
        points: surface points, of which at most K are used, evenly spread.
        nudges: `[K, 3]` random directions from the points to their neighbours.
    """
    count = min(len(nudges), len(points.canonical))
    if not count:
        return points.canonical.new_zeros(())
    indices = torch.linspace(0, len(points.canonical) - 1, count, device=nudges.device).long()
    here = points.canonical[indices].detach()
    beside = here + NEIGHBOUR_DISTANCE * torch.nn.functional.normalize(nudges[:count], dim=1)
    normals = torch.nn.functional.normalize(
        _gradient(model, frame, torch.cat([here, beside])), dim=1
    )
    difference: Tensor = normals[:count] - normals[count:]
    return difference.square().sum(dim=1).mean()


def _gradient(model: HeadAvatarModel, frame: Frame, x: Tensor) -> Tensor:
    """Gradient `[N, 3]` of the signed distance at canonical points, differentiable again."""
    x = x.requires_grad_()
    sdf = model.geometry(x, model.geometry_code(frame)).sdf
    (gradient,) = torch.autograd.grad(sdf.sum(), x, create_graph=True)
    return gradient


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
    """All terms that compare a traced batch with its image, not weighted, with gradients.

    Each term is a sum over pixels, divided by the number of pixels N.

    Args:
        traced: the hits of the rays of `view`, with the batch's mask as foreground.
        truth: None where only masks and colours supervise (imavatar-minus).
        mixed: evaluate the texture network in bfloat16. The other networks stay in float32, because
            the correspondence search converges to 1e-5.
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
        # Detached: the fields fit the surface, and the surface does not move to fit the fields
        # (as published).
        fixed = points._replace(
            canonical=points.canonical.detach(), deformed=points.deformed.detach()
        )
        terms |= supervision_terms(model.blend_fields(fixed, frame), targets, count)
        if semantic is not None:
            terms["flame_distance"] = flame_distance_term(targets, semantic)
    return terms


def field_terms(
    model: RadianceFieldModel,
    frame: Frame,
    view: RayBundle,
    batch: Batch,
    weights: LossWeights,
    samples: int,
    mixed: bool = False,
) -> tuple[Terms, Tensor]:
    """The terms of a radiance field, not weighted, and the rays inside the mask that see it, `[N]`.

    Colours are compared over the white background, off the mask too. The opacity of a ray takes the
    place of the occupancy in the mask term. Each term is a sum over pixels, divided by their
    number N.

    Args:
        samples: number of samples of a ray, as of the ray marcher.
        mixed: evaluate the texture network in bfloat16.
    """
    count = len(batch.pixels)
    seen = model.integrate(
        view, frame, samples, jitter=batch.jitter, noise=batch.noise, mixed=mixed
    )
    over_white = seen.colour + (1.0 - seen.opacity)[:, None]
    opacity = OPACITY_MARGIN + (1.0 - 2.0 * OPACITY_MARGIN) * seen.opacity
    entropy = binary_cross_entropy(opacity, batch.mask.to(opacity.dtype), reduction="sum")
    terms = {
        "colour": 2.0 * (over_white - batch.colour).abs().sum() / count,
        "mask": entropy / (weights.sharpness * count),
    }
    if weights.space > 0.0:
        terms["space"] = empty_space_term(model, frame, view, batch, weights.sharpness)
    return terms, (seen.opacity > 0.5) & batch.mask


def mask_term(
    model: HeadAvatarModel,
    frame: Frame,
    view: RayBundle,
    traced: TraceResult,
    batch: Batch,
    sharpness: float,
) -> Tensor:
    """Binary cross-entropy of occupancy against the mask, on valid rays off the surface."""
    off = ~(traced.hit & batch.mask) & traced.valid
    rays = view.select(off)
    # The distance along the ray is a constant; gradients flow through the camera and directions.
    along = ((traced.deformed[off] - view.origin.detach()) * rays.directions.detach()).sum(dim=1)
    sdf = model.sdf_at(traced.canonical[off], rays.at(along), frame)
    occupancy = batch.mask[off].to(sdf.dtype)
    entropy = binary_cross_entropy_with_logits(-sharpness * sdf, occupancy, reduction="sum")
    return entropy / (sharpness * len(batch.pixels))


def supervision_terms(fields: Deformation | None, targets: Targets, count: int) -> Terms:
    """Squared differences of a variant's deformation fields from the head model's.

    Args:
        fields: None for a variant without deformation fields; it has no terms.
        count: number of pixels to divide by.
    """
    if fields is None:
        return {}
    near = targets.near
    weights = (fields.weights - targets.weights)[targets.skinned]
    terms = {"skinning": weights.square().sum() / count}
    if fields.pose.shape[1]:
        pose = DIFFERENCE_SCALE * (fields.pose - targets.pose)[near]
        terms["pose"] = pose.square().sum() / count
    if fields.expression.shape[2]:
        expression = DIFFERENCE_SCALE * (fields.expression - targets.expression)[near]
        terms["expression"] = expression.square().sum() / count
    return terms


def flame_distance_term(targets: Targets, semantic: Tensor) -> Tensor:
    """Mean over skin of the fourth power of the distance to the nearest head-model vertex.

    Zero where no pixel is labelled skin.
    """
    squared = targets.distance[has_label(semantic, SKIN_LABELS, semantic)]
    return squared.square().sum() / max(1, len(squared))
