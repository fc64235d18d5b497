"""Newton's method for many points at once: one exact Jacobian, then Broyden's updates."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from imavatar_deploy.model.implicit_diff import inverse, times

from .posed_field import PosedField, Rays

SURFACE_STEP = 0.05
"""Longest step towards a surface (model units, 12 mm); beyond, its linear model is useless."""

SPACE_STEP = 1.0
"""Longest step towards a root of the forward map (model units), which is almost rigid."""

DAMPING = 1e-6
"""Added to the diagonal of Jacobians, so that they are not singular."""

MIN_DENOMINATOR = 1e-12
"""Smallest magnitude of the denominator of Broyden's update."""

CURVATURE = 30.0
"""The estimated error after a full Newton step of length s is this times s² (model units).

The value follows from the curvature of skin, whose radii are above 3 mm.
"""

Residual = Callable[[Tensor, Tensor], Tensor]
"""Maps points `[M, 3]` and the indices of their problems `[M]` to residuals `[M, 3]`."""


class NewtonResult(NamedTuple):
    """Results of N iterations."""

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
    """Solve residual(x) = 0 for N points.

    The error after a step is estimated from the lengths of this step and the previous one. This
    saves the evaluation that would only confirm convergence.

    Args:
        residual: the equations.
        start: `[N, 3]` initial points.
        value: `[N, 3]` residuals at the initial points.
        jacobian: `[N, 3, 3]` Jacobians at the initial points.
        steps: largest number of steps.
        tolerance: estimated error at which a point has converged.
        reach: longest step.
    """
    slope = inverse(jacobian + DAMPING * torch.eye(3, dtype=start.dtype, device=start.device))
    ends = start.clone()
    converged = torch.zeros(len(start), dtype=torch.bool, device=start.device)
    active = torch.arange(len(start), device=start.device)
    x = start
    step, full = _limit(-times(slope, value), reach)
    error = CURVATURE * step.norm(dim=1).square()
    for remaining in reversed(range(steps)):
        done = full & (error < tolerance)
        x = x + step
        ends[active], converged[active] = x, done
        going = (~done & x.isfinite().all(dim=1)).nonzero()[:, 0]
        if not len(going) or not remaining:
            break
        active, x, slope = active[going], x[going], slope[going]
        value, step = value[going], step[going]
        after = residual(x, active)
        slope = _broyden_update(slope, step, after - value)
        value, before = after, step.norm(dim=1)
        step, full = _limit(-times(slope, value), reach)
        length = step.norm(dim=1)
        error = length * length / before
    return NewtonResult(ends, converged)


def _limit(step: Tensor, reach: float) -> tuple[Tensor, Tensor]:
    """Limit the length of steps to `reach`; also return the mask of unchanged steps."""
    length = step.norm(dim=1, keepdim=True)
    return step * (reach / length.clamp(min=reach)), length[:, 0] <= reach


def _broyden_update(slope: Tensor, step: Tensor, change: Tensor) -> Tensor:
    """Apply Broyden's rank-one update for `step` and the `change` of the residual."""
    row = (step[:, None] @ slope)[:, 0]
    denominator = (row * change).sum(dim=1, keepdim=True)
    denominator = torch.where(denominator.abs() < MIN_DENOMINATOR, MIN_DENOMINATOR, denominator)
    return slope + ((step - times(slope, change)) / denominator)[:, :, None] * row[:, None]


def meet(
    field: PosedField, rays: Rays, start: Tensor, *, steps: int, tolerance: float
) -> NewtonResult:
    """Intersect rays with the surface: F(x) = [across (d(x) - o), sdf(x)] = 0, near `start`."""
    if not len(start):
        return NewtonResult(start, torch.zeros(0, dtype=torch.bool, device=start.device))
    deformed, jacobian = field.linearise(start)
    sdf, gradient = field.sdf_gradient(start)

    def residual(x: Tensor, which: Tensor) -> Tensor:
        selected = rays.select(which)
        return torch.cat([selected.offset(field.deform(x)), field.sdf(x)[:, None]], dim=1)

    value = torch.cat([rays.offset(deformed), sdf[:, None]], dim=1)
    slope = torch.cat([rays.across @ jacobian, gradient[:, None]], dim=1)
    return solve(
        residual, start, value, slope, steps=steps, tolerance=tolerance, reach=SURFACE_STEP
    )


def invert(
    field: PosedField, points: Tensor, start: Tensor, *, steps: int, tolerance: float
) -> NewtonResult:
    """Find the canonical points that deform to `points` `[N, 3]`, near `start`."""
    if not len(start):
        return NewtonResult(start, torch.zeros(0, dtype=torch.bool, device=start.device))
    deformed, jacobian = field.linearise(start)

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
