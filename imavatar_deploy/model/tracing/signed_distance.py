"""SignedDistance: the geometry network of one frame, folded so that a tracer may ask it for distances alone."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from imavatar_deploy.model.encoding import encode
from imavatar_deploy.model.geometry import GeometryNetwork
from imavatar_deploy.model.layers import smooth


class SignedDistance:
    """Canonical points `[N, 3]` -> signed distance `[N]`, differentiable in the points only.

    The same numbers as `geometry(x, code).sdf`: the weight normalisation is resolved once instead of in each of a
    trace's ten calls, and the feature is left out.

    Args:
        code: what the geometry network is told of the frame (`Variant.geometry_code`).
    """

    def __init__(self, geometry: GeometryNetwork, code: Tensor | None) -> None:
        self.frequencies, self.skip = geometry.frequencies, geometry.skip
        with torch.no_grad():
            self.code = geometry.whole_code(code)
            self.layers = [_resolved(layer) for layer in geometry.layers]
            weight, bias = self.layers.pop()
            self.last = weight[:1], bias[:1]

    def __call__(self, x: Tensor) -> Tensor:
        """[N] signed distance of canonical points `[N, 3]`."""
        inputs = torch.cat([encode(x, self.frequencies), self.code.expand(len(x), -1)], dim=1)
        hidden = inputs
        for index, layer in enumerate(self.layers):
            hidden = smooth(nn.functional.linear(self._skipped(hidden, inputs, index), *layer))
        distance = nn.functional.linear(self._skipped(hidden, inputs, len(self.layers)), *self.last)
        return distance[:, 0]

    def _skipped(self, hidden: Tensor, inputs: Tensor, index: int) -> Tensor:
        return torch.cat([hidden, inputs], dim=1) / math.sqrt(2.0) if index in self.skip else hidden


def _resolved(layer: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight and bias of a linear layer, the weight normalisation resolved."""
    return layer.weight.detach(), layer.bias.detach()  # type: ignore[operator]
