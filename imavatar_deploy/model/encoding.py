"""Positional encoding of points: the point itself, then sines and cosines of rising frequency (NeRF, equation 4)."""

from __future__ import annotations

import torch
from torch import Tensor

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
