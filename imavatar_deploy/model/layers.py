"""Weight-normalised linear layers and the smooth activation that geometry and deformation share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

SHARPNESS = 100.0
"""Beta of the softplus: close to a ReLU, and twice differentiable, so that normals have gradients."""


def smooth(x: Tensor) -> Tensor:
    """Softplus, sharp enough to be almost a ReLU."""
    return nn.functional.softplus(x, beta=SHARPNESS)


def initial_linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer with zero bias and weights N(0, sqrt(2 / outputs)), not normalised yet."""
    layer = nn.Linear(inputs, outputs)
    with torch.no_grad():
        layer.weight.normal_(0.0, math.sqrt(2.0 / outputs))
        layer.bias.zero_()
    return layer


def zero_linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer that answers zero until it is trained."""
    layer = nn.Linear(inputs, outputs)
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.zero_()
    return layer


def smooth_layers(widths: Sequence[int]) -> nn.ModuleList:
    """Weight-normalised layers from width to width; `smooth` follows each."""
    return nn.ModuleList(
        weight_normed(initial_linear(inputs, outputs)) for inputs, outputs in pairwise(widths)
    )


def weight_normed(layer: nn.Linear) -> nn.Module:
    """The same layer with each row of its weight as length times direction (Salimans and Kingma, equation 2)."""
    normed: nn.Module = parametrizations.weight_norm(layer)
    return normed


# Positional encoding of points: the point itself, then sines and cosines of rising frequency (NeRF, equation 4).


DIMENSIONS = 3


def encoded_size(frequencies: int) -> int:
    """Length of an encoded point."""
    return DIMENSIONS * (1 + 2 * frequencies)


def encode(x: Tensor, frequencies: int) -> Tensor:
    """`[N, 3]` -> `[N, encoded_size]`: x, sin x, cos x, sin 2x, cos 2x, sin 4x, ... in blocks of three, without pi."""
    blocks = [x]
    for octave in range(frequencies):
        scaled = x * 2.0**octave
        blocks += [torch.sin(scaled), torch.cos(scaled)]
    return torch.cat(blocks, dim=-1)
