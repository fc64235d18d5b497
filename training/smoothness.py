"""Smoothness: neighbouring points of the surface shall have much the same normal."""

from __future__ import annotations

import torch
from torch import Tensor

from imavatar_deploy.model.frame import Frame
from imavatar_deploy.model.variant import SurfacePoints, Variant

REACH = 0.02
"""Model units (5 mm) from a point to its neighbour: finer relief than that is left alone."""


def smoothness_term(model: Variant, frame: Frame, points: SurfacePoints, nudges: Tensor) -> Tensor:
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
    normals = torch.nn.functional.normalize(_gradient(model, frame, torch.cat([here, beside])), dim=1)
    difference: Tensor = normals[:count] - normals[count:]
    return difference.square().sum(dim=1).mean()


def _gradient(model: Variant, frame: Frame, x: Tensor) -> Tensor:
    """[N, 3] of the signed distance at canonical points, differentiable in the network."""
    x = x.requires_grad_()
    sdf = model.geometry(x, model.geometry_code(frame)).sdf
    (gradient,) = torch.autograd.grad(sdf.sum(), x, create_graph=True)
    return gradient
