"""The Muon optimiser: momentum with orthogonalised updates, for the hidden matrices of networks.

All singular directions of a matrix, those of fine detail included, are updated at one rate.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

QUINTICS = (
    (8.287212, -23.595887, 17.300387),
    (4.107059, -2.947850, 0.544843),
    (3.9486908, -2.9089022, 0.5518191),
)
"""Coefficients of odd polynomials that together map singular values in (0.001, 1] to about 0.2 to
1.9 (the first three of Amsel et al., Polar Express). More of them come closer to one, at a higher
cost than gain here."""

MATCH_ADAM = 0.2
"""Root mean square of an update; close to that of Adam's, so that learning rates are comparable."""


def is_hidden_matrix(parameter: Tensor) -> bool:
    """Whether Muon updates a parameter: a matrix between wide layers, no bias, gain or output."""
    return parameter.ndim == 2 and min(parameter.shape) > 16


def orthogonal(matrix: Tensor) -> Tensor:
    """Approximate the nearest matrix whose singular values are all one, by matrix products."""
    wide: Tensor = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    wide = wide / (wide.norm() + 1e-9)
    for first, third, fifth in QUINTICS:
        gram = wide @ wide.T
        wide = first * wide + (third * gram + fifth * gram @ gram) @ wide
    return wide.T if matrix.shape[0] > matrix.shape[1] else wide


class Muon(torch.optim.Optimizer):
    """Muon (Jordan et al. 2024) with Nesterov momentum, in the precision of the parameters.

    `torch.optim.Muon` computes in bfloat16, which is forty times slower than float32 on a CPU
    without bfloat16 instructions.

    Args:
        parameters: matrices to update.
        lr: learning rate.
        momentum: decay rate of the mean gradient.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, momentum: float = 0.95
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                self._update(parameter, group["lr"], group["momentum"])

    def _update(self, parameter: nn.Parameter, rate: float, momentum: float) -> None:
        if parameter.grad is None:
            return
        state = self.state[parameter]
        mean = state.setdefault("mean", torch.zeros_like(parameter))
        mean.lerp_(parameter.grad, 1.0 - momentum)
        direction = orthogonal(parameter.grad.lerp(mean, momentum))
        parameter.add_(direction, alpha=-rate * MATCH_ADAM * max(parameter.shape) ** 0.5)
