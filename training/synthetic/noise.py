"""Smooth deterministic noise for hair, skin and irises."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]

LATTICE = 256
"""The noise repeats after this many cells."""


def smoothstep(low: float, high: float, x: Float) -> Float:
    """0 at `low`, 1 at `high`, with flat ends; falls where `low` > `high`."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), dtype=np.float32)


def value_noise(points: Float, seed: int = 0) -> Float:
    """Noise in -1..1 at `[N, D]` points, one cell a unit: random values on a lattice, smoothly interpolated."""
    dimensions = points.shape[1]
    table = (
        np.random.default_rng(seed)
        .uniform(-1.0, 1.0, (LATTICE,) * min(dimensions, 2))
        .astype(np.float32)
    )
    cell = np.floor(points).astype(np.int64)
    fraction = smoothstep(0.0, 1.0, points - cell)
    total = np.zeros(len(points), dtype=np.float32)
    for corner in np.ndindex(*(2,) * dimensions):
        weight = np.prod(np.where(corner, fraction, 1.0 - fraction), axis=1)
        total += weight * _lattice_value(table, cell + corner)
    return total


def _lattice_value(table: Float, cell: NDArray[np.int64]) -> Float:
    """A third coordinate shifts the table by steps coprime to its size, so that layers look unrelated."""
    shift = 0 if cell.shape[1] < 3 else cell[:, 2]
    wrapped = [
        (cell[:, axis] + step * shift) % LATTICE
        for axis, step in zip(range(table.ndim), (37, 101), strict=False)
    ]
    return np.asarray(table[tuple(wrapped)], dtype=np.float32)


def fractal_noise(points: Float, octaves: int, seed: int = 0) -> Float:
    """Sum of `octaves` noises, each twice as fine and half as strong; about -1..1."""
    return sum(
        (
            value_noise(points * np.float32(2.0**octave), seed + octave) * 0.5**octave
            for octave in range(octaves)
        ),
        start=np.zeros(len(points), dtype=np.float32),
    )
