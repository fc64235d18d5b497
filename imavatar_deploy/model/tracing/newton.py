"""Newton's method for three unknowns at many points at once: one exact Jacobian, then Broyden's updates of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from imavatar_deploy.model.implicit_diff import inverse, times

from .posed_field import PosedField, Rays

SURFACE_STEP = 0.05
"""No step towards a surface is longer (model units, 12 mm): farther away the linear model of it means nothing."""

SPACE_STEP = 1.0
"""No step towards a root is longer; space deforms almost rigidly."""

DAMPING = 1e-6
"""Added to the diagonal, so that no matrix is singular."""

GUARD = 1e-12
"""Keeps the denominator of Broyden's update from zero."""

CURVATURE = 30.0
"""A whole Newton step of length s is taken to leave an error of this times s²: skin bends with radii above 3 mm."""

Residual = Callable[[Tensor, Tensor], Tensor]
"""Points `[M, 3]` and which of the problems they belong to `[M]` -> what should be zero `[M, 3]`."""


class NewtonResult(NamedTuple):
    """Where the iterations ended."""

    x: Tensor  # [N, 3]
    converged: Tensor  # [N] bool


def solve(
    residual: Residual,
    start: Tensor,
    value: Tensor,
    jacobian: Tensor,
    *,
    steps: int,
    tolerance: float,
    reach: float,
) -> NewtonResult:
    """Find x with residual(x) = 0 from `start` `[N, 3]`, where it is `value` `[N, 3]` and has this Jacobian.

    A point is done before its last step is taken: the length of that step and of the one before it tell what error
    it will leave, which spares the evaluation that would only confirm it.
    """
    slope = inverse(jacobian + DAMPING * torch.eye(3, dtype=start.dtype, device=start.device))
    ends, converged = start.clone(), torch.zeros(len(start), dtype=torch.bool, device=start.device)
    active, x = torch.arange(len(start), device=start.device), start
    step, full = _bounded(-times(slope, value), reach)
    error = CURVATURE * step.norm(dim=1).square()
    for remaining in reversed(range(steps)):
        done = full & (error < tolerance)
        x = x + step
        ends[active], converged[active] = x, done
        going = (~done & x.isfinite().all(dim=1)).nonzero()[:, 0]
        if not len(going) or not remaining:
            break
        active, x, slope, value, step = (
            active[going],
            x[going],
            slope[going],
            value[going],
            step[going],
        )
        after = residual(x, active)
        slope = _updated(slope, step, after - value)
        value, before = after, step.norm(dim=1)
        step, full = _bounded(-times(slope, value), reach)
        length = step.norm(dim=1)
        error = length * length / before
    return NewtonResult(ends, converged)


def _bounded(step: Tensor, reach: float) -> tuple[Tensor, Tensor]:
    """Steps no longer than `reach`, and which of them are whole."""
    length = step.norm(dim=1, keepdim=True)
    return step * (reach / length.clamp(min=reach)), length[:, 0] <= reach


def _updated(slope: Tensor, step: Tensor, change: Tensor) -> Tensor:
    """Broyden's rank-one update of an inverse Jacobian that has seen `change` come of `step`."""
    row = (step[:, None] @ slope)[:, 0]
    denominator = (row * change).sum(dim=1, keepdim=True)
    denominator = torch.where(denominator.abs() < GUARD, GUARD, denominator)
    return slope + ((step - times(slope, change)) / denominator)[:, :, None] * row[:, None]


def meet(
    field: PosedField, rays: Rays, start: Tensor, *, steps: int, tolerance: float
) -> NewtonResult:
    """Canonical points where rays meet the surface: F(x) = [across (d(x) - o), sdf(x)] = 0, from nearby `start`."""
    if not len(start):
        return NewtonResult(start, torch.zeros(0, dtype=torch.bool, device=start.device))
    deformed, jacobian = field.linearised(start)
    sdf, gradient = field.sdf_gradient(start)

    def residual(x: Tensor, which: Tensor) -> Tensor:
        some = rays.select(which)
        return torch.cat([some.offset(field.deform(x)), field.sdf(x)[:, None]], dim=1)

    value = torch.cat([rays.offset(deformed), sdf[:, None]], dim=1)
    slope = torch.cat([rays.across @ jacobian, gradient[:, None]], dim=1)
    return solve(
        residual, start, value, slope, steps=steps, tolerance=tolerance, reach=SURFACE_STEP
    )


def invert(
    field: PosedField, points: Tensor, start: Tensor, *, steps: int, tolerance: float
) -> NewtonResult:
    """Canonical points that deform to `points` `[N, 3]`, from nearby `start`."""
    if not len(start):
        return NewtonResult(start, torch.zeros(0, dtype=torch.bool, device=start.device))
    deformed, jacobian = field.linearised(start)

    def residual(x: Tensor, which: Tensor) -> Tensor:
        return field.deform(x) - points[which]

    return solve(
        residual,
        start,
        deformed - points,
        jacobian,
        steps=steps,
        tolerance=tolerance,
        reach=SPACE_STEP,
    )
