"""Posing kernels: blendshapes and correctives as one matrix-vector product, then skinning and projection."""

from __future__ import annotations

from .arrays import Doubles2, Floats, Floats2
from .library import kernel, wp


@kernel
def shape(rest: Floats, basis: Floats2, coefficients: Floats, shaped: Floats) -> None:
    """One coordinate of one vertex: rest `[3 V]` and the bases `[K, 3 V]` by their coefficients `[K]`.

    Neighbouring threads read neighbouring numbers; a frame reads every basis once, which is all there is to win.
    float32, since half precision would cost 1e-5 units and save 4 us of a frame at 50,000 faces (13 MB at 3.35 TB/s).
    """
    place = wp.tid()
    total = float(rest[place])
    for k in range(basis.shape[0]):
        total += coefficients[k] * basis[k, place]
    shaped[place] = total


@kernel
def skin(shaped: Floats, weights: Floats2, bones: Floats, matrix: Floats, vertices: Floats2, points: Doubles2) -> None:
    """Linear blend skinning of one vertex, and its image coordinates (column w, row w, w), see `rasterise`.

    Args:
        bones: `[12 J]`, the upper three rows of each bone's transform.
        matrix: `[12]`, the image matrix.
    """
    vertex = wp.tid()
    count = weights.shape[1]
    x, y, z = shaped[vertex], shaped[count + vertex], shaped[2 * count + vertex]
    for axis in range(3):
        moved = float(0.0)
        for j in range(weights.shape[0]):
            g = 12 * j + 4 * axis
            moved += weights[j, vertex] * (bones[g] * x + bones[g + 1] * y + bones[g + 2] * z + bones[g + 3])
        vertices[vertex, axis] = moved
    px, py, pz = wp.float64(vertices[vertex, 0]), wp.float64(vertices[vertex, 1]), wp.float64(vertices[vertex, 2])
    for row in range(3):
        m = 4 * row
        points[vertex, row] = (
            wp.float64(matrix[m]) * px
            + wp.float64(matrix[m + 1]) * py
            + wp.float64(matrix[m + 2]) * pz
            + wp.float64(matrix[m + 3])
        )
