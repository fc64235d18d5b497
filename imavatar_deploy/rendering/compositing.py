"""Compositing: colours as bytes over the background, with outlines anti-aliased or without.

At an outline a pixel shows its own surface and that of the neighbour across the outline, each by
the share of the pixel's square that it covers: the area on one side of the outline, which is taken
as straight within the pixel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.arrays import Array, Float32, Int32, UInt8

from .outlines import DOWN, LEFT, RIGHT, UP, WORD, Outlines, find_crossings
from .workers import Workers, kernel

# Arrays in compiled loops
Floats = NDArray[np.float32]
Double = NDArray[np.float64]
Index = NDArray[np.int32]
Bytes = NDArray[np.uint8]

Side = tuple[float, float, float]
"""Normal to one side of an outline (column, row), and the area of a pixel on that side."""

NOTHING = (0.0, 0.0, 0.0)
"""No area."""


def composite(
    colours: Float32[Array, "H W 3"],
    triangle: Int32[Array, "H W"],
    background: tuple[int, ...],
    workers: Workers,
    outlines: Outlines | None = None,
) -> UInt8[Array, "H W 4"]:
    """Return RGBA bytes: the colours where a triangle covers the pixel, else the background.

    Colours are not multiplied by alpha.

    Args:
        colours: in 0..1; undefined where no triangle covers the pixel.
        triangle: -1 where no triangle covers the pixel.
        background: RGBA bytes.
        outlines: those of the frame, whose pixels are mixtures; None for one surface in each pixel.
    """
    image = np.zeros((*triangle.shape, 4), dtype=np.uint8)
    ground = np.array(background, dtype=np.uint8)
    if outlines is None:
        workers.each(_composite, len(image), colours, triangle, ground, image)
    else:
        workers.each(_composite_mixed, len(image), colours, triangle, ground, outlines, image)
    return image


@kernel
def _composite(
    start: int, stop: int, colours: Floats, triangle: Index, background: Bytes, image: Bytes
) -> None:
    """Composite the rows start..stop; round to the nearest byte, halves upwards."""
    for y in range(start, stop):
        for x in range(triangle.shape[1]):
            if triangle[y, x] < 0:
                for channel in range(4):
                    image[y, x, channel] = background[channel]
                continue
            for channel in range(3):
                value = colours[y, x, channel] * np.float32(255.0) + np.float32(0.5)
                image[y, x, channel] = (
                    np.uint8(min(value, np.float32(255.0))) if value > 0.0 else np.uint8(0)
                )
            image[y, x, 3] = 255


@kernel
def _composite_mixed(
    start: int,
    stop: int,
    colours: Floats,
    triangle: Index,
    background: Bytes,
    outlines: Outlines,
    image: Bytes,
) -> None:
    """Composite the rows start..stop, and the pixels at outlines again as mixtures."""
    _composite(start, stop, colours, triangle, background, image)
    find_crossings(start, stop, outlines, triangle)
    mixture = np.zeros(4, dtype=np.float64)
    flags, words, lines = (
        outlines.crossings.flags,
        outlines.crossings.words,
        outlines.crossings.lines,
    )
    width = triangle.shape[1]
    for y in range(start, stop):
        for word in range(words.shape[1]):
            if words[y, word]:
                left = word * WORD
                for x in range(left, min(left + WORD, width)):
                    if flags[y, x]:
                        _mix(y, x, flags[y, x], colours, triangle, lines, mixture)
                        _store(mixture, background, y, x, image)


@kernel
def _mix(
    y: int, x: int, bits: int, colours: Floats, triangle: Index, lines: Floats, mixture: Double
) -> None:
    """Compute the mixture [r, g, b, alpha] of a pixel and its neighbours across outlines."""
    union = NOTHING
    left = right = up = down = 0.0
    if bits & LEFT:
        side = _beyond(lines, y, x - 1, 0, True)
        left, union = side[2], _united(union, side)
    if bits & RIGHT:
        side = _beyond(lines, y, x, 0, False)
        right, union = side[2], _united(union, side)
    if bits & UP:
        side = _beyond(lines, y, x, 2, True)
        up, union = side[2], _united(union, side)
    if bits & DOWN:
        side = _beyond(lines, y, x, 1, False)
        down, union = side[2], _united(union, side)
    total = left + right + up + down
    scale = union[2] / total if total > 0.0 else 0.0
    mixture[:] = 0.0
    _add(mixture, colours, triangle, y, x, 1.0 - union[2])
    if left > 0.0:
        _add(mixture, colours, triangle, y, x - 1, scale * left)
    if right > 0.0:
        _add(mixture, colours, triangle, y, x + 1, scale * right)
    if up > 0.0:
        _add(mixture, colours, triangle, y - 1, x, scale * up)
    if down > 0.0:
        _add(mixture, colours, triangle, y + 1, x, scale * down)


@kernel
def _beyond(lines: Floats, row: int, column: int, pair: int, second: bool) -> Side:
    """Return the area of a pixel beyond the outline of a pair, and the normal to that side.

    Args:
        row, column, pair: where the outline is stored.
        second: whether the area is that of the second pixel.
    """
    distance = float(lines[row, column, pair, 0])
    nx, ny = float(lines[row, column, pair, 1]), float(lines[row, column, pair, 2])
    along = nx if pair == 0 else ny
    if second:
        distance = 1.0 - distance
    if (along > 0.0) == second:  # towards the other pixel
        nx, ny = -nx, -ny
    return nx, ny, covered_area(-distance * abs(along), abs(nx), abs(ny))


@kernel
def _united(union: Side, side: Side) -> Side:
    """Return the area beyond any of several outlines, and the sum of their normals by area.

    Two areas overlap entirely where their outlines are one line, by chance where these are
    perpendicular, and as little as possible where they are opposite. Between these cases the
    overlap is interpolated.
    """
    nx, ny, area = side
    product = np.sqrt((nx * nx + ny * ny) * (union[0] * union[0] + union[1] * union[1]))
    cosine = (nx * union[0] + ny * union[1]) / product if product > 0.0 else 0.0
    by_chance = union[2] * area
    extreme = min(union[2], area) if cosine > 0.0 else max(union[2] + area - 1.0, 0.0)
    total = union[2] + area - by_chance - abs(cosine) * (extreme - by_chance)
    return union[0] + area * nx, union[1] + area * ny, total


@kernel
def covered_area(distance: float, nx: float, ny: float) -> float:
    """Return the area of a pixel's square in a half-plane.

    Args:
        distance: of the pixel's centre from the border, positive inside, in units in which
            nx + ny = 1: the half-plane covers the square from 1/2 on, nothing of it up to -1/2.
        nx, ny: absolute components of the border's normal.
    """
    small = min(nx, ny)
    large = max(nx, ny)
    rest = 0.5 - abs(distance)
    if rest <= 0.0:
        return 1.0 if distance > 0.0 else 0.0
    if rest >= small:  # the border crosses two opposite sides
        return 0.5 + distance / large
    corner = rest * rest / (2.0 * small * large)
    return 1.0 - corner if distance > 0.0 else corner


@kernel
def _add(mixture: Double, colours: Floats, triangle: Index, y: int, x: int, share: float) -> None:
    """Add a share of a pixel's colour to a mixture [r, g, b, alpha]; of the background, nothing."""
    if triangle[y, x] >= 0:
        for channel in range(3):
            value = colours[y, x, channel]
            if value > 0.0:
                mixture[channel] += share * min(value, 1.0)
        mixture[3] += share


@kernel
def _store(mixture: Double, background: Bytes, y: int, x: int, image: Bytes) -> None:
    """Store a mixture over the background as bytes, colours not multiplied by alpha."""
    ground = (1.0 - min(mixture[3], 1.0)) * background[3] / 255.0
    alpha = mixture[3] + ground
    if alpha * 255.0 < 0.5:
        for channel in range(4):
            image[y, x, channel] = background[channel]
        return
    scale = 1.0 / alpha
    for channel in range(3):
        value = (255.0 * mixture[channel] + ground * background[channel]) * scale
        image[y, x, channel] = np.uint8(min(value + 0.5, 255.0))
    image[y, x, 3] = np.uint8(min(alpha * 255.0 + 0.5, 255.0))
