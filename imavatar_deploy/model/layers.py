"""Building blocks of the networks: weight-normalised layers, softplus and positional encoding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

DIMENSIONS = 3
"""Coordinates of a point."""

SHARPNESS = 100.0
"""Beta of the softplus: nearly a ReLU, but twice differentiable, so that normals have gradients."""


def smooth(x: Tensor) -> Tensor:
    """Softplus with `SHARPNESS`, close to a ReLU."""
    return nn.functional.softplus(x, beta=SHARPNESS)


def initial_linear(inputs: int, outputs: int) -> nn.Linear:
    """Return a linear layer with weights N(0, sqrt(2 / outputs)) and zero bias."""
    layer = nn.Linear(inputs, outputs)
    with torch.no_grad():
        layer.weight.normal_(0.0, math.sqrt(2.0 / outputs))
        layer.bias.zero_()
    return layer


def zero_linear(inputs: int, outputs: int) -> nn.Linear:
    """Return a linear layer whose weights and bias are zero."""
    layer = nn.Linear(inputs, outputs)
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.zero_()
    return layer


def smooth_layers(widths: Sequence[int]) -> nn.ModuleList:
    """Return weight-normalised layers between consecutive widths; apply `smooth` after each."""
    return nn.ModuleList(
        weight_normed(initial_linear(inputs, outputs)) for inputs, outputs in pairwise(widths)
    )


def weight_normed(layer: nn.Linear) -> nn.Module:
    """Apply weight normalisation: rows are length times direction (Salimans, Kingma, eq. 2)."""
    normed: nn.Module = parametrizations.weight_norm(layer)
    return normed


def weight_and_bias(layer: nn.Module) -> tuple[Tensor, Tensor]:
    """Return weight and bias of a linear layer without gradients, weight normalisation applied."""
    return layer.weight.detach(), layer.bias.detach()  # type: ignore[operator]


# Positional encoding (NeRF, equation 4)


def encoded_size(frequencies: int) -> int:
    """Return the length of a point encoded with `frequencies` octaves."""
    return DIMENSIONS * (1 + 2 * frequencies)


def encode(x: Tensor, frequencies: int) -> Tensor:
    """Encode points `[N, 3]` as `[N, encoded_size]`.

    The columns are x, sin x, cos x, sin 2x, cos 2x, sin 4x, ... in blocks of three. Unlike in NeRF,
    the angles are not multiplied by pi.
    """
    blocks = [x]
    for octave in range(frequencies):
        scaled = x * 2.0**octave
        blocks += [torch.sin(scaled), torch.cos(scaled)]
    return torch.cat(blocks, dim=-1)
