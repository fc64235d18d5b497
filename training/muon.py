"""Muon: momentum made orthogonal, so that every direction of a matrix learns at one speed, fine detail included."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

QUINTICS = (
    (8.287212, -23.595887, 17.300387),
    (4.107059, -2.947850, 0.544843),
    (3.9486908, -2.9089022, 0.5518191),
)
"""Odd polynomials that together lift singular values in (0.001, 1] to about 0.2 .. 1.9 (the first three of
Amsel et al., Polar Express); more of them come closer to one and cost more than they bring here."""
MATCH_ADAM = 0.2
"""Root mean square of an orthogonal update times the square root of its longer side that equals one of Adam's."""


def is_hidden_matrix(parameter: Tensor) -> bool:
    """Whether Muon is for this parameter: a matrix between wide layers, not a bias, a gain or a narrow output."""
    return parameter.ndim == 2 and min(parameter.shape) > 16


def orthogonal(matrix: Tensor) -> Tensor:
    """Roughly the nearest matrix with all singular values one, in a few products and no decomposition."""
    wide: Tensor = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    wide = wide / (wide.norm() + 1e-9)
    for first, third, fifth in QUINTICS:
        gram = wide @ wide.T
        wide = first * wide + (third * gram + fifth * gram @ gram) @ wide
    return wide.T if matrix.shape[0] > matrix.shape[1] else wide


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised (Jordan et al. 2024), in the parameters' own precision.

    torch's own Muon computes in bfloat16, forty times slower than float32 on a CPU without such instructions.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, momentum: float = 0.95
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step down the gradients the parameters hold."""
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
