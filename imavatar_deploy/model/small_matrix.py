"""The inverse of many 3 x 3 matrices in closed form: a library's factorisation is an order slower at this size."""

from __future__ import annotations

import torch
from torch import Tensor


def inverse(matrices: Tensor) -> Tensor:
    """[N, 3, 3] inverses, rows of cross products over the determinant; not finite where a matrix is singular."""
    a, b, c = matrices.unbind(dim=-2)
    # The columns of the adjugate are the cross products of pairs of rows.
    crossed = torch.stack([torch.linalg.cross(b, c), torch.linalg.cross(c, a), torch.linalg.cross(a, b)], dim=-1)
    return crossed / (a * crossed[..., 0]).sum(dim=-1)[..., None, None]


def times(matrices: Tensor, vectors: Tensor) -> Tensor:
    """[N, 3] products of matrices `[N, 3, 3]` with vectors `[N, 3]`."""
    return (matrices @ vectors[..., None])[..., 0]
