"""Implicit differentiation: gradients of the roots of an equation (IMavatar, "Gradient").

A root x of F(x; parameters) = 0 moves with the parameters by dx = -(dF/dx)^-1 dF. The expression
x' = x - (dF/dx)^-1 [F - stopgrad F] has the value of x and this gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Products and inverses of many 3 x 3 matrices


def inverse(matrices: Tensor) -> Tensor:
    """Invert matrices `[..., 3, 3]` in closed form; not finite where a matrix is singular.

    At this size it is ten times as fast as a factorisation.
    """
    a, b, c = matrices.unbind(dim=-2)
    # The columns of the adjugate are cross products of pairs of rows.
    adjugate = torch.stack(
        [torch.linalg.cross(b, c), torch.linalg.cross(c, a), torch.linalg.cross(a, b)], dim=-1
    )
    return adjugate / (a * adjugate[..., 0]).sum(dim=-1)[..., None, None]


def times(matrices: Tensor, vectors: Tensor) -> Tensor:
    """Multiply matrices `[N, 3, 3]` with vectors `[N, 3]`."""
    return (matrices @ vectors[..., None])[..., 0]


# Gradients


def jacobian(outputs: Tensor, x: Tensor, *, graph: bool) -> Tensor:
    """Return d outputs_i / d x_j `[N, 3, 3]`; row n of `outputs` depends on row n of x alone."""
    rows = [
        torch.autograd.grad(outputs[:, row].sum(), x, create_graph=graph, retain_graph=True)[0]
        for row in range(3)
    ]
    return torch.stack(rows, dim=1)


def attach(x: Tensor, residual: Tensor) -> Tensor:
    """Return the values of x `[N, 3]` with the gradients of a root of `residual`.

    Args:
        x: `[N, 3]` roots, a leaf that requires gradients.
        residual: `[N, 3]` F(x), with gradients in x and in the parameters.
    """
    # Where the Jacobian is singular the derivative of the root is undefined; it is set to zero.
    slope = inverse(jacobian(residual, x, graph=False)).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
    return x.detach() - times(slope, residual - residual.detach())


def orthogonal_basis(directions: Tensor) -> Tensor:
    """Return two orthogonal unit vectors `[N, 2, 3]`, normal to each unit direction `[N, 3]`.

    The published code uses two components of a cross product with the direction: the same equations
    in another basis, which is singular for rays along the third axis.
    """
    axis = torch.zeros_like(directions)
    axis.scatter_(1, directions.abs().argmin(dim=1, keepdim=True), 1.0)
    first = torch.nn.functional.normalize(torch.linalg.cross(directions, axis), dim=1)
    return torch.stack([first, torch.linalg.cross(directions, first)], dim=1)


def deformed_normal(gradient: Tensor, jacobian: Tensor) -> Tensor:
    """Return the unit normals J^-T gradient `[N, 3]` of the deformed surface (IMavatar, "Normals").

    Args:
        gradient: `[N, 3]` gradient of the signed distance at canonical points.
        jacobian: `[N, 3, 3]` d deformed_i / d canonical_j at the same points.
    """
    return torch.nn.functional.normalize(times(inverse(jacobian).mT, gradient), dim=1)
