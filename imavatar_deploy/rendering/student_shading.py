"""Student shading: interpolation and evaluation of the student in one loop over pixels.

The loop gathers 16 covered pixels of a row at a time in a planar layout, so that every product uses
whole vector registers whatever the width of the network.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.avatar_io import AvatarFolder
from imavatar_deploy.student import Student, read_student

from .rasteriser import Fragments
from .workers import Workers, fused_kernel

# Arrays in compiled loops
Floats = NDArray[np.float32]
Index = NDArray[np.int32]

LANES = 16
"""Pixels in a block."""

ZERO = np.float32(0.0)
HALF = np.float32(0.5)
ONE = np.float32(1.0)

LARGEST_LOGIT = np.float32(16.0)
"""Logit beyond which a sigmoid is 0 or 1 to seven digits."""

NO_LENGTH = np.float32(1e-20)
"""Smallest divisor of a normal, against division by zero."""


class Layers(NamedTuple):
    """Weights of a student in the layout of the loop, `[outputs, inputs]`."""

    constant: Floats  # [H] of the first layer: the contribution of the frame's condition
    normal: Floats  # [H, 3]
    hidden: Floats  # [H, H]
    hidden_bias: Floats  # [H]
    colour: Floats  # [3, H]
    colour_bias: Floats  # [3]


class Surface(NamedTuple):
    """Fragments of the pixels, and the vertex attributes that they interpolate."""

    triangle: Index  # [H, W], -1 where there is none
    barycentrics: Floats  # [H, W, 3]
    faces: Index  # [F, 3]
    features: Floats  # [V, H]
    normals: Floats  # [V, 3]


class Block(NamedTuple):
    """Working memory for `LANES` pixels of a row."""

    column: NDArray[np.int64]  # [LANES] columns of the pixels
    normal: Floats  # [3, LANES]
    first: Floats  # [H, LANES]
    second: Floats  # [H, LANES]
    colour: Floats  # [3, LANES]


class StudentShading:
    """Evaluates the student at every covered pixel, without texture.onnx and ONNX Runtime."""

    uses_texture_network: ClassVar[bool] = False

    def __init__(
        self, folder: AvatarFolder, session: Any, size: tuple[int, int], workers: Workers
    ) -> None:
        self._student = read_student(folder)
        self._workers = workers
        self._faces = np.array(folder.avatar.faces)
        self._image = np.zeros((*size, 3), dtype=np.float32)

    def __call__(
        self,
        fragments: Fragments,
        normals: Float32[Array, "V 3"],
        condition: Float32[Array, "1 53"],
    ) -> Float32[Array, "H W 3"]:
        """Return the colours of the covered pixels, as `shading.Shading`."""
        surface = Surface(
            fragments.triangle, fragments.barycentrics, self._faces, self._student.features, normals
        )
        layers = layers_of(self._student, condition)
        self._workers.each(_shade, len(self._image), surface, layers, self._image)
        return self._image


def layers_of(student: Student, condition: Float32[Array, "1 53"]) -> Layers:
    """Return the weights for a frame with a condition."""
    return Layers(
        constant=student.constant(condition),
        normal=np.ascontiguousarray(student.normal_weight.T),
        hidden=np.ascontiguousarray(student.hidden_weight.T),
        hidden_bias=student.hidden_bias,
        colour=np.ascontiguousarray(student.colour_weight.T),
        colour_bias=student.colour_bias,
    )


def student_colours(
    student: Student,
    feature: Float32[Array, "N H"],
    normal: Float32[Array, "N 3"],
    condition: Float32[Array, "1 53"],
    workers: Workers,
) -> Float32[Array, "N 3"]:
    """Return the colours of single points by the pixel loop.

    The arguments are those of `imavatar_deploy.student.colours_plainly`, its reference.
    """
    points = np.arange(len(feature), dtype=np.int32)
    at_corner = np.tile(np.array([1, 0, 0], dtype=np.float32), (1, len(points), 1))
    faces = np.repeat(points[:, None], 3, axis=1)
    image = np.zeros((1, len(points), 3), dtype=np.float32)
    surface = Surface(
        points[None], at_corner, faces, np.ascontiguousarray(feature), np.ascontiguousarray(normal)
    )
    workers.each(_shade, len(image), surface, layers_of(student, condition), image)
    return np.asarray(image[0])


@fused_kernel
def _gather(surface: Surface, y: int, x: int, block: Block) -> tuple[int, int]:
    """Interpolate features and normals of the next covered pixels of row y, from column x on.

    Returns their number and the column after them.
    """
    count = 0
    while x < surface.triangle.shape[1] and count < LANES:
        face = surface.triangle[y, x]
        if face >= 0:
            a, b, c = surface.faces[face, 0], surface.faces[face, 1], surface.faces[face, 2]
            u = surface.barycentrics[y, x, 0]
            v = surface.barycentrics[y, x, 1]
            w = surface.barycentrics[y, x, 2]
            for axis in range(3):
                n = (
                    u * surface.normals[a, axis]
                    + v * surface.normals[b, axis]
                    + w * surface.normals[c, axis]
                )
                block.normal[axis, count] = n
            for unit in range(surface.features.shape[1]):
                f = (
                    u * surface.features[a, unit]
                    + v * surface.features[b, unit]
                    + w * surface.features[c, unit]
                )
                block.first[unit, count] = f
            block.column[count] = x
            count += 1
        x += 1
    return count, x


@fused_kernel
def _first_layer(layers: Layers, block: Block) -> None:
    """Normalise the normals and evaluate the first layer on the features."""
    nx, ny, nz = block.normal[0], block.normal[1], block.normal[2]
    for lane in range(LANES):
        length = np.sqrt(nx[lane] * nx[lane] + ny[lane] * ny[lane] + nz[lane] * nz[lane])
        scale = ONE / max(length, NO_LENGTH)
        nx[lane] *= scale
        ny[lane] *= scale
        nz[lane] *= scale
    for unit in range(len(block.first)):
        a = layers.normal[unit, 0]
        b = layers.normal[unit, 1]
        c = layers.normal[unit, 2]
        constant = layers.constant[unit]
        for lane in range(LANES):
            value = block.first[unit, lane] + constant + a * nx[lane] + b * ny[lane] + c * nz[lane]
            block.first[unit, lane] = max(value, ZERO)


@fused_kernel
def _second_layer(layers: Layers, block: Block) -> None:
    """Evaluate the second layer, four units at a time to read the first layer once for all four."""
    w, bias, first = layers.hidden, layers.hidden_bias, block.first
    for unit in range(0, len(first), 4):
        for lane in range(LANES):
            a, b, c, d = bias[unit], bias[unit + 1], bias[unit + 2], bias[unit + 3]
            for i in range(len(first)):
                x = first[i, lane]
                a += w[unit, i] * x
                b += w[unit + 1, i] * x
                c += w[unit + 2, i] * x
                d += w[unit + 3, i] * x
            block.second[unit, lane] = max(a, ZERO)
            block.second[unit + 1, lane] = max(b, ZERO)
            block.second[unit + 2, lane] = max(c, ZERO)
            block.second[unit + 3, lane] = max(d, ZERO)


@fused_kernel
def _colours(layers: Layers, block: Block) -> None:
    """Evaluate the last layer and its sigmoid."""
    for channel in range(3):
        colour = block.colour[channel]
        for lane in range(LANES):
            colour[lane] = layers.colour_bias[channel]
        for unit in range(len(block.second)):
            weight = layers.colour[channel, unit]
            for lane in range(LANES):
                colour[lane] += weight * block.second[unit, lane]
        for lane in range(LANES):
            colour[lane] = _sigmoid(colour[lane])


@fused_kernel
def _sigmoid(x: np.float32) -> np.float32:
    """Return 1 / (1 + exp(-x)) to 1e-6, without a call, so that the loop can be vectorised.

    exp(32 t) is exp(t)^32; for |t| <= 1/2 five terms of the series of exp(t) suffice.
    """
    t = -min(max(x, -LARGEST_LOGIT), LARGEST_LOGIT) * np.float32(1 / 32)
    e = ONE + t * (
        ONE
        + t * (HALF + t * (np.float32(1 / 6) + t * (np.float32(1 / 24) + t * np.float32(1 / 120))))
    )
    e *= e
    e *= e
    e *= e
    e *= e
    e *= e
    return ONE / (ONE + e)


@fused_kernel
def _shade(start: int, stop: int, surface: Surface, layers: Layers, image: Floats) -> None:
    """Shade the rows start..stop; blocks end with a row, so threads do not change the result."""
    width = len(layers.constant)
    block = Block(
        np.zeros(LANES, dtype=np.int64),
        np.zeros((3, LANES), dtype=np.float32),
        np.zeros((width, LANES), dtype=np.float32),
        np.zeros((width, LANES), dtype=np.float32),
        np.zeros((3, LANES), dtype=np.float32),
    )
    for y in range(start, stop):
        x = 0
        while x < surface.triangle.shape[1]:
            count, x = _gather(surface, y, x, block)
            if count:
                _first_layer(layers, block)
                _second_layer(layers, block)
                _colours(layers, block)
                for lane in range(count):
                    for channel in range(3):
                        image[y, block.column[lane], channel] = block.colour[channel, lane]
