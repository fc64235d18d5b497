"""Geometry network: canonical point -> signed distance and feature (IMavatar, "Geometry")."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from imavatar_deploy.checks import ensure_shape

from .layers import DIMENSIONS, encode, encoded_size, initial_linear, smooth, weight_normed
from .sizes import NetworkSizes


class Geometry(NamedTuple):
    """Outputs of the geometry network at canonical points."""

    sdf: Tensor  # [N] negative inside; approximates the distance near the surface
    feature: Tensor  # [N, 256] for the texture network


class GeometryNetwork(nn.Module):
    """Signed distance field whose zero level set is the head in canonical space.

    Args:
        sizes: widths, depths and frequencies.
        condition: length of the frame condition before the latent code (baselines only).
    """

    latent: Tensor
    """[L] default latent code (published: of the first training frame); empty without codes."""

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
        """Return signed distance and feature of canonical points.

        Args:
            x: `[N, 3]` in model units.
            code: `[C]` or `[N, C]` condition of the frame, then its latent code. Where the latent
                code is missing, `latent` takes its place. With None the condition is zero too
                (neutral expression and pose).

        Raises:
            InputError: `x` has another shape.
        """
        ensure_shape("points", x, ("N", DIMENSIONS))
        full_code = self.whole_code(code).expand(x.shape[0], -1)
        inputs = torch.cat([encode(x, self.frequencies), full_code], dim=-1)
        hidden = inputs
        for index, layer in enumerate(self.layers):
            if index in self.skip:
                hidden = torch.cat([hidden, inputs], dim=-1) / math.sqrt(2.0)
            hidden = layer(hidden) if index == len(self.layers) - 1 else smooth(layer(hidden))
        return Geometry(hidden[:, 0], hidden[:, 1:])

    def whole_code(self, code: Tensor | None) -> Tensor:
        """Complete a code `[C]` or `[N, C]` with the defaults that `forward` documents."""
        if code is None:
            code = self.latent.new_zeros(self.condition)
        missing = self.condition + len(self.latent) - code.shape[-1]
        return (
            torch.cat([code, self.latent.expand(*code.shape[:-1], -1)], dim=-1) if missing else code
        )


def _sphere_layers(sizes: NetworkSizes, inputs: int, condition: int) -> list[nn.Linear]:
    """Return layers whose zero level set is a sphere (geometric initialisation: SAL, theorem 1).

    The layer before a skip is narrower by the length of the encoded point and the latent code that
    are concatenated to its output, as published. A frame condition is too long for that: it widens
    the layer after the skip instead.
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
    """Zero the weights of the network's input, the last columns, except the plain coordinates."""
    with torch.no_grad():
        layer.weight[:, layer.in_features - (inputs - DIMENSIONS) :] = 0.0


def _sphere_output(width: int, outputs: int, radius: float) -> nn.Linear:
    layer = nn.Linear(width, outputs)
    with torch.no_grad():
        layer.weight.normal_(math.sqrt(math.pi / width), 1e-4)
        layer.bias.fill_(-radius)
    return layer
