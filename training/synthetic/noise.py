"""Smooth deterministic noise for hair, skin and irises."""

from __future__ import annotations

import numpy as np

from imavatar_deploy.arrays import Array, Float, Float32, Int64

LATTICE = 256
"""Period of the noise in cells."""


def smoothstep(low: float, high: float, x: Float[Array, "*shape"]) -> Float32[Array, "*shape"]:
    """Interpolate smoothly from 0 at `low` to 1 at `high`, constant beyond both.

    The step falls where `low` is greater than `high`.
    """
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), dtype=np.float32)


def value_noise(points: Float[Array, "N D"], seed: int = 0) -> Float32[Array, " N"]:
    """Value noise in -1..1: random values on a lattice of unit cells, smoothly interpolated."""
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


def _lattice_value(table: Float32[Array, "..."], cell: Int64[Array, "N D"]) -> Float32[Array, " N"]:
    """Value at each lattice point.

    The table has at most two dimensions. A third coordinate shifts it by steps coprime to its
    size, so that layers look independent.
    """
    shift = 0 if cell.shape[1] < 3 else cell[:, 2]
    wrapped = [
        (cell[:, axis] + step * shift) % LATTICE
        for axis, step in zip(range(table.ndim), (37, 101), strict=False)
    ]
    return np.asarray(table[tuple(wrapped)], dtype=np.float32)


def fractal_noise(points: Float[Array, "N D"], octaves: int, seed: int = 0) -> Float32[Array, " N"]:
    """Sum of value noises, each twice as fine and half as strong as the one before.

    Values lie in -2..2, most of them in -1..1.
    """
    return sum(
        (
            value_noise(points * np.float32(2.0**octave), seed + octave) * 0.5**octave
            for octave in range(octaves)
        ),
        start=np.zeros(len(points), dtype=np.float32),
    )
