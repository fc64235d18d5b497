"""Texture network: point, normal, expression and feature -> colour (IMavatar, "Texture")."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .layers import DIMENSIONS, encode, encoded_size, weight_normed
from .sizes import NetworkSizes


class TextureInputs(NamedTuple):
    """Columns of the first layer's weight by input.

    A bake folds all of them but the normal's into constants.
    """

    point: slice
    normal: slice
    condition: slice
    feature: slice


class TextureNetwork(nn.Module):
    """Colour of surface points, independent of the view direction."""

    def __init__(self, sizes: NetworkSizes) -> None:
        super().__init__()
        self.frequencies = sizes.texture_frequencies
        self.inputs = _input_columns(sizes)
        self.bottleneck = nn.Linear(sizes.condition, sizes.bottleneck)
        widths = (self.inputs.feature.stop, *sizes.texture_layers, 3)
        self.layers = nn.ModuleList(
            weight_normed(nn.Linear(inputs, outputs)) for inputs, outputs in pairwise(widths)
        )

    def forward(self, x: Tensor, normal: Tensor, condition: Tensor, feature: Tensor) -> Tensor:
        """Return colours `[N, 3]` in 0..1.

        Args:
            x: `[N, 3]` canonical points, model units.
            normal: `[N, 3]` unit normals of the deformed surface.
            condition: `[53]`, or `[N, 53]`: expression and the jaw's axis-angle.
            feature: `[N, 256]` from the geometry network.
        """
        squeezed = self.bottleneck(condition).expand(x.shape[0], -1)
        hidden = torch.cat([encode(x, self.frequencies), normal, squeezed, feature], dim=-1)
        for layer in self.layers[:-1]:
            hidden = torch.relu(layer(hidden))
        return (torch.tanh(self.layers[-1](hidden)) + 1.0) / 2.0


def _input_columns(sizes: NetworkSizes) -> TextureInputs:
    blocks = []
    start = 0
    for width in (
        encoded_size(sizes.texture_frequencies),
        DIMENSIONS,
        sizes.bottleneck,
        sizes.feature,
    ):
        blocks.append(slice(start, start + width))
        start += width
    return TextureInputs(*blocks)
