"""Kernels of anti-aliased outlines: the rules of `rendering.outlines` and `.compositing`.

Every pair of adjacent pixels keeps the largest of the 64-bit keys of the edges that end a visible
surface between them: the bits of 1 / w above the complement of the edge's index. The pixels then
compute the crossing again from the edge.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Int32
from imavatar_deploy.rendering import outlines

from .arrays import (
    Bytes,
    Bytes2,
    Double,
    Doubles2,
    Floats,
    Floats2,
    Ints,
    Ints2,
    Keys,
    Vec3d,
    Vec4d,
    Vec4i,
)
from .library import device_function, kernel, wp
from .rasteriser import LAST_KEY, NEAR, ONE, ZERO
from .scene import GpuScene

HALF = wp.constant(wp.float64(0.5))
WHITE = wp.constant(wp.float64(255.0))
MIN_GAP = wp.constant(wp.float64(outlines.MIN_GAP))


@device_function
def _image_point(points: Doubles2, vertex: int) -> Vec3d:
    """Column, row and 1 / w of a vertex."""
    q = ONE / points[vertex, 2]
    return wp.vec3d(points[vertex, 0] * q, points[vertex, 1] * q, q)


@device_function
def _normal(a: Vec3d, b: Vec3d) -> Vec3d:
    """Normal (column, row, 0) of an edge towards its surface; absolute components sum to one."""
    nx = b[1] - a[1]
    ny = a[0] - b[0]
    length = wp.abs(nx) + wp.abs(ny)
    if length > ZERO:
        return wp.vec3d(nx / length, ny / length, ZERO)
    return wp.vec3d(ZERO, ZERO, ZERO)


@device_function
def _plane_nearness(planes: Doubles2, face: int, x: Double, y: Double) -> Double:
    """1 / w of the plane of a triangle at a point of the image."""
    return (
        (planes[face, 0] + planes[face, 3] + planes[face, 6]) * x
        + (planes[face, 1] + planes[face, 4] + planes[face, 7]) * y
        + (planes[face, 2] + planes[face, 5] + planes[face, 8])
    ) * planes[face, 9]


@device_function
def _gap_scale(matrix: Floats) -> Double:
    """The factor of 1 / w for a step in depth of `MIN_GAP` pixels."""
    columns = wp.vec3d(wp.float64(matrix[0]), wp.float64(matrix[1]), wp.float64(matrix[2]))
    depth = wp.vec3d(wp.float64(matrix[8]), wp.float64(matrix[9]), wp.float64(matrix[10]))
    focal = wp.length(wp.cross(columns, depth)) / wp.dot(depth, depth)
    return ONE - MIN_GAP / focal


@device_function
def _enter(
    pixel: int,
    other: int,
    axis: int,
    width: int,
    crossing: Vec3d,
    towards: Double,
    edge: int,
    planes: Doubles2,
    triangle: Ints,
    scale: Double,
    nearest: Keys,
) -> None:
    """Enter an edge's key for a pair of pixels if a visible surface ends between them.

    Args:
        crossing: column, row and 1 / w.
        towards: component along the pair's axis of the normal towards the surface.
    """
    own = pixel
    inside = triangle[pixel]
    outside = triangle[other]
    if towards > ZERO:
        own = other
        inside = triangle[other]
        outside = triangle[pixel]
    if inside < 0 or inside == outside:
        return
    if outside >= 0:
        surface = wp.max(
            _plane_nearness(planes, inside, crossing[0], crossing[1]),
            _plane_nearness(planes, inside, wp.float64(own % width), wp.float64(own // width)),
        )
        behind = _plane_nearness(planes, outside, crossing[0], crossing[1])
        if behind >= scale * wp.min(crossing[2], surface):
            return
    key = (wp.uint64(wp.cast(wp.float32(crossing[2]), wp.uint32)) << wp.uint64(32)) | (
        LAST_KEY - wp.uint64(edge)
    )
    wp.atomic_max(nearest, 2 * pixel + axis, key)


@kernel
def find_crossings(
    edges: Ints2,
    front: Bytes,
    points: Doubles2,
    planes: Doubles2,
    triangle: Ints,
    matrix: Floats,
    width: int,
    height: int,
    nearest: Keys,
) -> None:
    """Follow one edge of which one face is drawn and one is not, as `outlines._walk` does."""
    edge = wp.tid()
    first = front[edges[edge, 2]]
    if first == front[edges[edge, 3]]:
        return
    start = edges[edge, 0]
    end = edges[edge, 1]
    if first == wp.uint8(0):
        start = edges[edge, 1]
        end = edges[edge, 0]
    if not (points[start, 2] > NEAR and points[end, 2] > NEAR):
        return
    a = _image_point(points, start)
    b = _image_point(points, end)
    n = _normal(a, b)
    scale = _gap_scale(matrix)
    wide = wp.float64(width)
    high = wp.float64(height)
    top = int(wp.ceil(wp.clamp(wp.min(a[1], b[1]), ZERO, high)))
    bottom = int(wp.ceil(wp.clamp(wp.max(a[1], b[1]), ZERO, high)))
    for row in range(top, bottom):
        y = wp.float64(row)
        t = (y - a[1]) / (b[1] - a[1])
        x = a[0] + t * (b[0] - a[0])
        if x > ZERO and x <= wide - ONE:
            pixel = row * width + int(wp.ceil(x)) - 1
            crossing = wp.vec3d(x, y, a[2] + t * (b[2] - a[2]))
            _enter(
                pixel, pixel + 1, 0, width, crossing, n[0], edge, planes, triangle, scale, nearest
            )
    left = int(wp.ceil(wp.clamp(wp.min(a[0], b[0]), ZERO, wide)))
    right = int(wp.ceil(wp.clamp(wp.max(a[0], b[0]), ZERO, wide)))
    for column in range(left, right):
        x = wp.float64(column)
        t = (x - a[0]) / (b[0] - a[0])
        y = a[1] + t * (b[1] - a[1])
        if y > ZERO and y <= high - ONE:
            pixel = (int(wp.ceil(y)) - 1) * width + column
            crossing = wp.vec3d(x, y, a[2] + t * (b[2] - a[2]))
            _enter(
                pixel,
                pixel + width,
                1,
                width,
                crossing,
                n[1],
                edge,
                planes,
                triangle,
                scale,
                nearest,
            )


# Blending, as `rendering.compositing`


@device_function
def _covered_area(distance: Double, nx: Double, ny: Double) -> Double:
    """Area of a pixel's square in a half-plane, as `compositing.covered_area`."""
    small = wp.min(nx, ny)
    large = wp.max(nx, ny)
    rest = HALF - wp.abs(distance)
    if rest <= ZERO:
        if distance > ZERO:
            return ONE
        return ZERO
    if rest >= small:
        return HALF + distance / large
    corner = rest * rest / ((small + small) * large)
    if distance > ZERO:
        return ONE - corner
    return corner


@device_function
def _side(
    key: wp.uint64,
    axis: int,
    second: int,
    x: Double,
    y: Double,
    edges: Ints2,
    front: Bytes,
    points: Doubles2,
) -> Vec3d:
    """Normal towards the neighbour across a pair's outline, and the area of the pixel beyond it.

    Args:
        second: 1 if the pixel is the second of the pair.
        x, y: the pixel.
    """
    if key == wp.uint64(0):
        return wp.vec3d(ZERO, ZERO, ZERO)
    edge = int(LAST_KEY - (key & LAST_KEY))
    start = edges[edge, 0]
    end = edges[edge, 1]
    if front[edges[edge, 2]] == wp.uint8(0):
        start = edges[edge, 1]
        end = edges[edge, 0]
    a = _image_point(points, start)
    b = _image_point(points, end)
    n = _normal(a, b)
    distance = ZERO
    if axis == 0:
        distance = a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0]) - x
    else:
        distance = a[1] + (x - a[0]) / (b[0] - a[0]) * (b[1] - a[1]) - y
    if (n[axis] > ZERO) == (second == 1):
        n = -n
    area = _covered_area(-wp.abs(distance) * wp.abs(n[axis]), wp.abs(n[0]), wp.abs(n[1]))
    return wp.vec3d(n[0], n[1], area)


@device_function
def _united(union: Vec3d, side: Vec3d) -> Vec3d:
    """Area of several sides and the sum of their normals by area, as `compositing._united`."""
    area = side[2]
    product = wp.sqrt(
        (side[0] * side[0] + side[1] * side[1]) * (union[0] * union[0] + union[1] * union[1])
    )
    cosine = ZERO
    if product > ZERO:
        cosine = (side[0] * union[0] + side[1] * union[1]) / product
    by_chance = union[2] * area
    extreme = wp.max(union[2] + area - ONE, ZERO)
    if cosine > ZERO:
        extreme = wp.min(union[2], area)
    total = union[2] + area - by_chance - wp.abs(cosine) * (extreme - by_chance)
    return wp.vec3d(union[0] + area * side[0], union[1] + area * side[1], total)


@device_function
def _with(mixture: Vec4d, share: Double, triangle: Ints, colours: Floats2, pixel: int) -> Vec4d:
    """A mixture [r, g, b, alpha] with a pixel's colour added; the background adds nothing."""
    if share <= ZERO or triangle[pixel] < 0:
        return mixture
    return mixture + wp.vec4d(
        share * wp.float64(wp.clamp(colours[pixel, 0], 0.0, 1.0)),
        share * wp.float64(wp.clamp(colours[pixel, 1], 0.0, 1.0)),
        share * wp.float64(wp.clamp(colours[pixel, 2], 0.0, 1.0)),
        share,
    )


@kernel
def blend_outlines(
    nearest: Keys,
    edges: Ints2,
    front: Bytes,
    points: Doubles2,
    triangle: Ints,
    colours: Floats2,
    width: int,
    background: Vec4i,
    image: Bytes2,
) -> None:
    """Composite one pixel at an outline again, as a mixture."""
    pixel = wp.tid()
    column = pixel % width
    row = pixel // width
    none = wp.uint64(0)
    right = nearest[2 * pixel]
    down = nearest[2 * pixel + 1]
    left = none
    up = none
    if column > 0:
        left = nearest[2 * (pixel - 1)]
    if row > 0:
        up = nearest[2 * (pixel - width) + 1]
    if (left | right | up | down) == none:
        return
    x = wp.float64(column)
    y = wp.float64(row)
    to_left = _side(left, 0, 1, x, y, edges, front, points)
    to_right = _side(right, 0, 0, x, y, edges, front, points)
    to_up = _side(up, 1, 1, x, y, edges, front, points)
    to_down = _side(down, 1, 0, x, y, edges, front, points)
    union = _united(
        _united(_united(_united(wp.vec3d(ZERO, ZERO, ZERO), to_left), to_right), to_up), to_down
    )
    total = union[2]
    if total <= ZERO:
        return
    scale = total / (to_left[2] + to_right[2] + to_up[2] + to_down[2])
    mixture = wp.vec4d(ZERO, ZERO, ZERO, ZERO)
    mixture = _with(mixture, ONE - total, triangle, colours, pixel)
    mixture = _with(mixture, scale * to_left[2], triangle, colours, pixel - 1)
    mixture = _with(mixture, scale * to_right[2], triangle, colours, pixel + 1)
    mixture = _with(mixture, scale * to_up[2], triangle, colours, pixel - width)
    mixture = _with(mixture, scale * to_down[2], triangle, colours, pixel + width)
    ground = (ONE - wp.min(mixture[3], ONE)) * wp.float64(background[3]) / WHITE
    alpha = mixture[3] + ground
    if alpha * WHITE < HALF:
        for channel in range(4):
            image[pixel, channel] = wp.uint8(background[channel])
        return
    for channel in range(3):
        value = (WHITE * mixture[channel] + ground * wp.float64(background[channel])) / alpha
        image[pixel, channel] = wp.uint8(wp.min(value + HALF, WHITE))
    image[pixel, 3] = wp.uint8(wp.min(alpha * WHITE + HALF, WHITE))


class DeviceOutlines:
    """Blends the outlines of a scene's frames; all memory is allocated by the constructor."""

    def __init__(self, faces: Int32[Array, "F 3"], scene: GpuScene, width: int) -> None:
        buffers = scene.buffers
        self._scene = scene
        self._width = width
        self._height = len(buffers.triangle) // width
        self._edges = wp.array(
            np.ascontiguousarray(outlines.mesh_edges(faces)),
            dtype=wp.int32,
            device=buffers.device,
        )
        self._nearest = wp.zeros(2 * len(buffers.triangle), dtype=wp.uint64, device=buffers.device)

    def blend(self, matrix: Any, background: Any, image: Any) -> None:
        """Composite the pixels at outlines again.

        Args:
            matrix: `[12]`, the image matrix, on the device.
            background: RGBA bytes.
            image: `[P, 4]` the composited frame, on the device.
        """
        scene, buffers = self._scene, self._scene.buffers
        self._nearest.zero_()
        wp.launch(
            find_crossings,
            len(self._edges),
            inputs=[
                self._edges,
                scene.front,
                scene.points,
                scene.planes,
                buffers.triangle,
                matrix,
                self._width,
                self._height,
            ],
            outputs=[self._nearest],
            device=buffers.device,
        )
        wp.launch(
            blend_outlines,
            len(buffers.triangle),
            inputs=[
                self._nearest,
                self._edges,
                scene.front,
                scene.points,
                buffers.triangle,
                buffers.colours,
                self._width,
                background,
            ],
            outputs=[image],
            device=buffers.device,
        )
