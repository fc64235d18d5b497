"""Colours of filled vertices: texture codes with which they continue the colours around them.

The texture network takes the normal, too, and no view shows it the normals of unseen surface: with
codes that continue those around it, the back of a green shirt is brown. The codes of filled
vertices therefore move, by as little as possible, to where the network gives the harmonic
continuation of the colours of seen vertices, in several frames.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.model.surface.field import chunks

from .formats.onnx_modules import BakedTexture
from .unseen_fill import HarmonicFill

ROUNDS = 5
"""Gauss-Newton steps; most vertices are done after two."""

DAMPING = 1e-2
"""Levenberg-Marquardt damping, as a share of the mean diagonal of J J^T."""


def continued_codes(
    network: BakedTexture,
    codes: Float32[Array, "V K"],
    harmonic: HarmonicFill,
    normals: Tensor,
    condition: Tensor,
) -> Float32[Array, "V K"]:
    """Codes of all vertices; those of the filled ones continue the colours of the others.

    Args:
        network: the texture network on codes.
        codes: of the seen vertices; those of the others do not count.
        harmonic: fills the other vertices.
        normals: `[C, V, 3]` of the surface in C frames.
        condition: `[C, 53]` of these frames.
    """
    filled = harmonic(codes)
    rows = np.flatnonzero(harmonic.unseen)
    if not len(rows):
        return filled
    with torch.inference_mode():
        everywhere = torch.from_numpy(filled).to(normals)
        colours = [
            network(everywhere, frame, row[None])
            for frame, row in zip(normals, condition, strict=True)
        ]
    columns = torch.cat(colours, dim=1).cpu().numpy()
    target = torch.from_numpy(harmonic(columns)[rows]).to(normals)
    for part in chunks(len(rows)):
        of_part = _Colours(network, normals[:, rows[part]], condition)
        start = torch.from_numpy(filled[rows[part]]).to(normals)
        filled[rows[part]] = _fitted(of_part, start, target[part]).cpu().numpy()
    return filled


class _Colours:
    """Colours of some vertices in all frames as a function of their codes."""

    def __init__(self, network: BakedTexture, normals: Tensor, condition: Tensor) -> None:
        self._network = network
        self._frames = list(zip(normals, condition, strict=True))

    def __call__(self, codes: Tensor) -> Tensor:
        """[N, 3C] colours for codes `[N, K]`."""
        return torch.cat([self._network(codes, n, c[None]) for n, c in self._frames], dim=1)

    def with_jacobian(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """The colours, and their derivatives `[N, 3C, K]`."""
        x = codes.detach().requires_grad_()
        colours: list[Tensor] = []
        rows: list[Tensor] = []
        for normals, condition in self._frames:  # a graph a frame: each derivative runs one back
            of_frame = self._network(x, normals, condition[None])
            colours.append(of_frame.detach())
            rows += [
                torch.autograd.grad(of_frame[:, channel].sum(), x, retain_graph=True)[0]
                for channel in range(of_frame.shape[1])
            ]
        return torch.cat(colours, dim=1), torch.stack(rows, dim=1)


def _fitted(colours: _Colours, codes: Tensor, target: Tensor) -> Tensor:
    """Codes whose colours are nearest to the target, from damped steps of least norm."""
    best = codes.clone()
    lowest = torch.full((len(codes),), torch.inf, dtype=codes.dtype, device=codes.device)
    for _ in range(ROUNDS):
        value, jacobian = colours.with_jacobian(codes)
        residual = target - value
        error = residual.square().sum(dim=1)
        better = error < lowest
        best[better], lowest[better] = codes[better], error[better]
        gram = jacobian @ jacobian.transpose(1, 2)
        diagonal = gram.diagonal(dim1=1, dim2=2).mean(dim=1)
        identity = torch.eye(gram.shape[1]).to(gram)
        damped = gram + (DAMPING * diagonal + 1e-12)[:, None, None] * identity
        step = jacobian.transpose(1, 2) @ torch.linalg.solve(damped, residual[:, :, None])
        codes = codes + step[:, :, 0]
    with torch.no_grad():
        better = (target - colours(codes)).square().sum(dim=1) < lowest
    best[better] = codes[better]
    return best
