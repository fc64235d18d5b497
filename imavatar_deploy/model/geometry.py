"""Geometry network: canonical point -> signed distance and feature (IMavatar, "Geometry")."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .layers import DIMENSIONS, encode, encoded_size, initial_linear, smooth, weight_normed
from .sizes import NetworkSizes


class Geometry(NamedTuple):
    """What the geometry network says of canonical points."""

    sdf: Tensor  # [N] negative inside; close to a distance near the surface
    feature: Tensor  # [N, 256] for the texture network


class GeometryNetwork(nn.Module):
    """The implicit surface: its zero level set is the head in canonical space.

    `latent` is the code used when none is given (the first training frame's, as published); empty without codes.

    Args:
        sizes: of the network.
        condition: how much of a frame it is told besides, before the latent code (baselines; none in the paper's own).
    """

    latent: Tensor

    def __init__(self, sizes: NetworkSizes, condition: int = 0) -> None:
        super().__init__()
        self.frequencies = sizes.geometry_frequencies
        self.skip = sizes.geometry_skip
        self.condition = condition
        inputs = encoded_size(self.frequencies) + condition + sizes.latent
        self.register_buffer("latent", torch.zeros(sizes.latent))
        self.layers = nn.ModuleList(
            weight_normed(layer) for layer in _sphere_layers(sizes, inputs, condition)
        )

    def forward(self, x: Tensor, code: Tensor | None = None) -> Geometry:
        """Signed distance and feature of canonical points.

        Args:
            x: `[N, 3]` in model units.
            code: `[C]` or `[N, C]` what is told of the frame: condition, then latent. Without a latent code the
                module's own is taken; with None the condition is zero, too (neutral expression and pose).
        """
        told = self.whole_code(code).expand(x.shape[0], -1)
        inputs = torch.cat([encode(x, self.frequencies), told], dim=-1)
        hidden = inputs
        for index, layer in enumerate(self.layers):
            if index in self.skip:
                hidden = torch.cat([hidden, inputs], dim=-1) / math.sqrt(2.0)
            hidden = layer(hidden) if index == len(self.layers) - 1 else smooth(layer(hidden))
        return Geometry(hidden[:, 0], hidden[:, 1:])

    def whole_code(self, code: Tensor | None) -> Tensor:
        """[C] a code as the network sees it: what `forward` takes for what is not given filled in."""
        if code is None:
            code = self.latent.new_zeros(self.condition)
        missing = self.condition + len(self.latent) - code.shape[-1]
        return (
            torch.cat([code, self.latent.expand(*code.shape[:-1], -1)], dim=-1) if missing else code
        )


def _sphere_layers(sizes: NetworkSizes, inputs: int, condition: int) -> list[nn.Linear]:
    """Linear layers whose zero level set starts as a sphere (geometric initialisation: SAL, theorem 1).

    A layer before a skip is narrower by the point and the latent code that join it, as published. A condition is long
    and would leave little of it: that widens the layer after the skip instead.
    """
    layers = []
    width = inputs
    for index, following in enumerate(sizes.geometry_layers):
        joins = index + 1 in sizes.geometry_skip
        layer = initial_linear(width, following - (inputs - condition) if joins else following)
        if index == 0 or index in sizes.geometry_skip:
            _ignore_encoding(layer, inputs)
        layers.append(layer)
        width = following + condition if joins else following
    return [*layers, _sphere_output(width, 1 + sizes.feature, sizes.initial_radius)]


def _ignore_encoding(layer: nn.Linear, inputs: int) -> None:
    """Blind a layer that ends with the network's input to all of that but the plain coordinates."""
    with torch.no_grad():
        layer.weight[:, layer.in_features - (inputs - DIMENSIONS) :] = 0.0


def _sphere_output(width: int, outputs: int, radius: float) -> nn.Linear:
    layer = nn.Linear(width, outputs)
    with torch.no_grad():
        layer.weight.normal_(math.sqrt(math.pi / width), 1e-4)
        layer.bias.fill_(-radius)
    return layer
