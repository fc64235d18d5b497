"""Implicit differentiation: gradients of points that were found by a search (IMavatar, "Gradient").

A root x of F(x; parameters) = 0 moves with the parameters by dx = -(dF/dx)^-1 dF. Writing it as a Newton step whose
value is zero, x' = x - (dF/dx)^-1 [F - stopgrad F], leaves the point where it is and gives it that gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor

# The inverse of many 3 x 3 matrices in closed form: a library's factorisation is an order slower at this size.


def inverse(matrices: Tensor) -> Tensor:
    """[N, 3, 3] inverses, rows of cross products over the determinant; not finite where a matrix is singular."""
    a, b, c = matrices.unbind(dim=-2)
    # The columns of the adjugate are the cross products of pairs of rows.
    crossed = torch.stack(
        [torch.linalg.cross(b, c), torch.linalg.cross(c, a), torch.linalg.cross(a, b)], dim=-1
    )
    return crossed / (a * crossed[..., 0]).sum(dim=-1)[..., None, None]


def times(matrices: Tensor, vectors: Tensor) -> Tensor:
    """[N, 3] products of matrices `[N, 3, 3]` with vectors `[N, 3]`."""
    return (matrices @ vectors[..., None])[..., 0]


def jacobian(outputs: Tensor, x: Tensor, *, graph: bool) -> Tensor:
    """[N, 3, 3] d outputs_i / d x_j where each row of `outputs` `[N, 3]` depends on its own row of x `[N, 3]`."""
    rows = [
        torch.autograd.grad(outputs[:, row].sum(), x, create_graph=graph, retain_graph=True)[0]
        for row in range(3)
    ]
    return torch.stack(rows, dim=1)


def attach(x: Tensor, residual: Tensor) -> Tensor:
    """[N, 3] the values of x, with the gradient that a root of `residual` has.

    Args:
        x: `[N, 3]` a leaf that requires gradients, so that the graph ends there.
        residual: `[N, 3]` F(x), with gradients in x and in whatever moves the root.
    """
    # Where the Jacobian is singular the root's motion is undefined, and left out.
    slope = inverse(jacobian(residual, x, graph=False)).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
    return x.detach() - times(slope, residual - residual.detach())


def across(directions: Tensor) -> Tensor:
    """[N, 2, 3] two unit vectors that are orthogonal to each unit direction `[N, 3]` and to each other.

    The published code takes two components of a cross product with the direction instead: the same equations in
    another basis, but a singular one for rays along the third axis.
    """
    axis = torch.zeros_like(directions)
    axis.scatter_(1, directions.abs().argmin(dim=1, keepdim=True), 1.0)
    first = torch.nn.functional.normalize(torch.linalg.cross(directions, axis), dim=1)
    return torch.stack([first, torch.linalg.cross(directions, first)], dim=1)


def deformed_normal(gradient: Tensor, jacobian: Tensor) -> Tensor:
    """[N, 3] unit normals J^-T gradient of the deformed surface (IMavatar, "Normals").

    Args:
        gradient: `[N, 3]` of the signed distance at canonical points.
        jacobian: `[N, 3, 3]` d deformed_i / d canonical_j there.
    """
    return torch.nn.functional.normalize(times(inverse(jacobian).mT, gradient), dim=1)
