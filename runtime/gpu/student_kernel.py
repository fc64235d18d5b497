"""Student kernel: features and normal interpolated, two small layers and a colour, a thread a pixel."""

from __future__ import annotations

from imavatar_deploy.student import WIDTHS

from .arrays import Floats, Floats2, Ints, Ints2
from .library import kernel, wp
from .pixels import between, normal_at

Units = wp.types.vector(length=max(WIDTHS), dtype=wp.float32)
"""Room for the widest student: 0.5 KB a thread, which stays in the first-level cache."""


@kernel
def shade_student(
    triangle: Ints, barycentrics: Floats2, faces: Ints2, features: Floats2, normals: Floats2, constant: Floats,
    normal_weight: Floats2, hidden_weight: Floats2, hidden_bias: Floats, colour_weight: Floats2, colour_bias: Floats,
    colours: Floats2,
) -> None:  # fmt: skip
    """The colour of one pixel; weights are `[inputs, outputs]`, `constant` `[H]` is the frame's condition."""
    pixel = wp.tid()
    face = triangle[pixel]
    if face < 0:
        return
    width = features.shape[1]
    n = normal_at(normals, faces, face, barycentrics, pixel)
    first = Units()
    for unit in range(width):
        value = between(features, faces, face, barycentrics, pixel, unit) + constant[unit]
        value += normal_weight[0, unit] * n[0] + normal_weight[1, unit] * n[1] + normal_weight[2, unit] * n[2]
        first[unit] = wp.max(value, 0.0)
    r, g, b = float(colour_bias[0]), float(colour_bias[1]), float(colour_bias[2])
    for unit in range(width):
        value = float(hidden_bias[unit])
        for i in range(width):
            value += first[i] * hidden_weight[i, unit]
        value = wp.max(value, 0.0)
        r += value * colour_weight[unit, 0]
        g += value * colour_weight[unit, 1]
        b += value * colour_weight[unit, 2]
    colours[pixel, 0] = 1.0 / (1.0 + wp.exp(-r))
    colours[pixel, 1] = 1.0 / (1.0 + wp.exp(-g))
    colours[pixel, 2] = 1.0 / (1.0 + wp.exp(-b))
