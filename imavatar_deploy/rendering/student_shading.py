"""Student shading: features and normal interpolated, two small layers and a colour, all inside one pixel loop.

Sixteen covered pixels of a row are gathered at a time, planar: every product then works on whole registers of pixels
whatever the width of the network.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.avatar_io import AvatarFolder
from imavatar_deploy.student import Student, read_student

from .rasteriser import Fragments
from .workers import Workers, fused_kernel

Float = NDArray[np.float32]
Index = NDArray[np.int32]

LANES = 16
"""Pixels a block."""

ZERO, HALF, ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)
LARGEST_LOGIT = np.float32(16.0)
"""Beyond it a sigmoid is 0 or 1 to seven digits."""

NO_LENGTH = np.float32(1e-20)


class Layers(NamedTuple):
    """A student's weights as the loop reads them, `[outputs, inputs]`."""

    constant: Float  # [H] of the first layer: the frame's condition
    normal: Float  # [H, 3]
    hidden: Float  # [H, H]
    hidden_bias: Float  # [H]
    colour: Float  # [3, H]
    colour_bias: Float  # [3]


class Surface(NamedTuple):
    """What each pixel sees and the arrays that it looks up."""

    triangle: Index  # [H, W], -1 where there is none
    barycentrics: Float  # [H, W, 3]
    faces: Index  # [F, 3]
    features: Float  # [V, H]
    normals: Float  # [V, 3]


class Block(NamedTuple):
    """Room for `LANES` pixels."""

    column: NDArray[np.int64]  # [LANES] where they are in their row
    normal: Float  # [3, LANES]
    first: Float  # [H, LANES]
    second: Float  # [H, LANES]
    colour: Float  # [3, LANES]


class StudentShading:
    """The student at every covered pixel; neither texture.onnx nor ONNX Runtime is needed."""

    uses_texture_network: ClassVar[bool] = False

    def __init__(
        self, folder: AvatarFolder, session: Any, size: tuple[int, int], workers: Workers
    ) -> None:
        self._student = read_student(folder)
        self._workers = workers
        self._faces = np.array(folder.avatar.faces)
        self._image = np.zeros((*size, 3), dtype=np.float32)

    def __call__(self, fragments: Fragments, normals: Float, condition: Float) -> Float:
        """See `shade.Shading`."""
        seen = Surface(
            fragments.triangle, fragments.barycentrics, self._faces, self._student.features, normals
        )
        layers = layers_of(self._student, condition)
        self._workers.each(_shade, len(self._image), seen, layers, self._image)
        return self._image


def layers_of(student: Student, condition: Float) -> Layers:
    """The weights for a frame with condition `[1, 53]`."""
    return Layers(
        constant=student.constant(condition),
        normal=np.ascontiguousarray(student.normal_weight.T),
        hidden=np.ascontiguousarray(student.hidden_weight.T),
        hidden_bias=student.hidden_bias,
        colour=np.ascontiguousarray(student.colour_weight.T),
        colour_bias=student.colour_bias,
    )


def student_colours(
    student: Student, feature: Float, normal: Float, condition: Float, workers: Workers
) -> Float:
    """[N, 3] colours of single points by the pixel loop; see `imavatar_deploy.student.colours_plainly`."""
    points = np.arange(len(feature), dtype=np.int32)
    at_corner = np.tile(np.array([1, 0, 0], dtype=np.float32), (1, len(points), 1))
    faces = np.repeat(points[:, None], 3, axis=1)
    image = np.zeros((1, len(points), 3), dtype=np.float32)
    seen = Surface(
        points[None], at_corner, faces, np.ascontiguousarray(feature), np.ascontiguousarray(normal)
    )
    workers.each(_shade, len(image), seen, layers_of(student, condition), image)
    return np.asarray(image[0])


@fused_kernel
def _gather(seen: Surface, y: int, x: int, block: Block) -> tuple[int, int]:
    """Features and normals of the next covered pixels of row y; how many, and the column after them."""
    count = 0
    while x < seen.triangle.shape[1] and count < LANES:
        face = seen.triangle[y, x]
        if face >= 0:
            a, b, c = seen.faces[face, 0], seen.faces[face, 1], seen.faces[face, 2]
            u, v, w = (
                seen.barycentrics[y, x, 0],
                seen.barycentrics[y, x, 1],
                seen.barycentrics[y, x, 2],
            )
            for axis in range(3):
                n = (
                    u * seen.normals[a, axis]
                    + v * seen.normals[b, axis]
                    + w * seen.normals[c, axis]
                )
                block.normal[axis, count] = n
            for unit in range(seen.features.shape[1]):
                f = (
                    u * seen.features[a, unit]
                    + v * seen.features[b, unit]
                    + w * seen.features[c, unit]
                )
                block.first[unit, count] = f
            block.column[count] = x
            count += 1
        x += 1
    return count, x


@fused_kernel
def _first_layer(layers: Layers, block: Block) -> None:
    """Normals to length one, then the first layer on top of the features."""
    nx, ny, nz = block.normal[0], block.normal[1], block.normal[2]
    for lane in range(LANES):
        length = np.sqrt(nx[lane] * nx[lane] + ny[lane] * ny[lane] + nz[lane] * nz[lane])
        scale = ONE / max(length, NO_LENGTH)
        nx[lane], ny[lane], nz[lane] = nx[lane] * scale, ny[lane] * scale, nz[lane] * scale
    for unit in range(len(block.first)):
        a, b, c, constant = (
            layers.normal[unit, 0],
            layers.normal[unit, 1],
            layers.normal[unit, 2],
            layers.constant[unit],
        )
        for lane in range(LANES):
            value = block.first[unit, lane] + constant + a * nx[lane] + b * ny[lane] + c * nz[lane]
            block.first[unit, lane] = max(value, ZERO)


@fused_kernel
def _second_layer(layers: Layers, block: Block) -> None:
    """Four units at a time: what they share, the first layer, is then read once for all four."""
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
            block.second[unit, lane], block.second[unit + 1, lane] = max(a, ZERO), max(b, ZERO)
            block.second[unit + 2, lane], block.second[unit + 3, lane] = max(c, ZERO), max(d, ZERO)


@fused_kernel
def _colours(layers: Layers, block: Block) -> None:
    """The last layer and its sigmoid."""
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
    """1 / (1 + exp(-x)) to 1e-6 without a call, so that a whole register of pixels takes it at once.

    exp(32 t) is exp(t)^32; at |t| <= 1/2 five terms of its series do.
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
def _shade(start: int, stop: int, seen: Surface, layers: Layers, image: Float) -> None:
    """The rows start..stop; every row is its own blocks, so that threads change nothing."""
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
        while x < seen.triangle.shape[1]:
            count, x = _gather(seen, y, x, block)
            if count:
                _first_layer(layers, block)
                _second_layer(layers, block)
                _colours(layers, block)
                for lane in range(count):
                    for channel in range(3):
                        image[y, block.column[lane], channel] = block.colour[channel, lane]
