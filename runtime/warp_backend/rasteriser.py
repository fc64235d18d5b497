"""Raster kernels: the rules of `rendering.rasteriser`, in double precision, a thread a triangle.

Every pixel keeps the largest of the 64-bit keys of its triangles: the bits of 1 / w, whose order as
integers is that of the numbers, above the complement of the triangle's index, so that of equally
near triangles the first wins. Triangles whose box has more than `SMALL_BOX_PIXELS` pixels go to a
list, and groups of threads share the pixels of each.
"""

from __future__ import annotations

from imavatar_deploy.rendering import rasteriser

from .arrays import Bytes, Double, Doubles2, Floats2, Ints, Ints2, Keys, Vec4d
from .library import device_function, kernel, wp

SMALL_BOX_PIXELS = wp.constant(64)
"""Largest box that one thread scans, pixels; at 512² a triangle of 50,000 has about ten."""

TRIANGLE_LANES = 128
"""Threads that share a large triangle."""

TRIANGLE_GROUPS = 512
"""Large triangles drawn at a time."""

ZERO = wp.constant(wp.float64(0.0))
ONE = wp.constant(wp.float64(1.0))
NEAR = wp.constant(wp.float64(rasteriser.NEAR))
SLACK = wp.constant(wp.float64(rasteriser.SLACK))
JUST_ABOVE_ZERO = wp.constant(wp.float64(rasteriser.JUST_ABOVE_ZERO))
NEAREST = wp.constant(wp.float64(1.0 / rasteriser.NEAR))
FAR_AWAY = wp.constant(wp.float64(1e30))
LAST_KEY = wp.constant(wp.uint64(0xFFFFFFFF))


@device_function
def _widen(bounds: Vec4d, x: Double, y: Double) -> Vec4d:
    """Bounds (least and greatest column, least and greatest row), extended to (x, y)."""
    return wp.vec4d(
        wp.min(bounds[0], x), wp.max(bounds[1], x), wp.min(bounds[2], y), wp.max(bounds[3], y)
    )


@device_function
def _side(bounds: Vec4d, points: Doubles2, a: int, b: int) -> Vec4d:
    """Bounds extended to corner a, if beyond the near plane, and to where side a-b crosses it."""
    wa = points[a, 2]
    wb = points[b, 2]
    if wa > NEAR:
        bounds = _widen(bounds, points[a, 0] / wa, points[a, 1] / wa)
    if (wa > NEAR) != (wb > NEAR):
        t = (NEAR - wa) / (wb - wa)
        x = points[a, 0] + t * (points[b, 0] - points[a, 0])
        y = points[a, 1] + t * (points[b, 1] - points[a, 1])
        bounds = _widen(bounds, x / NEAR, y / NEAR)
    return bounds


@device_function
def _store_cross(points: Doubles2, j: int, k: int, planes: Doubles2, face: int, first: int) -> None:
    """Store p_k x p_j, exactly -(p_j x p_k): neighbours agree on the side of a pixel."""
    planes[face, first] = points[j, 2] * points[k, 1] - points[j, 1] * points[k, 2]
    planes[face, first + 1] = points[j, 0] * points[k, 2] - points[j, 2] * points[k, 0]
    planes[face, first + 2] = points[j, 1] * points[k, 0] - points[j, 0] * points[k, 1]


@device_function
def _edge(planes: Doubles2, face: int, first: int, x: Double, y: Double) -> Double:
    """One edge function, summed in the order of the CPU's rasteriser."""
    return planes[face, first] * x + (planes[face, first + 1] * y + planes[face, first + 2])


@device_function
def _threshold(planes: Doubles2, face: int, first: int) -> Double:
    """Zero for a left or top edge, which owns the pixels on it; just above zero for the others."""
    across = planes[face, first]
    down = planes[face, first + 1]
    if across > ZERO or (across == ZERO and down > ZERO):
        return ZERO
    return JUST_ABOVE_ZERO


@device_function
def _offer(planes: Doubles2, face: int, column: int, row: int, width: int, nearest: Keys) -> None:
    """Enter a triangle's key for one pixel, if it covers the pixel."""
    x, y = wp.float64(column), wp.float64(row)
    e0 = _edge(planes, face, 0, x, y)
    e1 = _edge(planes, face, 3, x, y)
    e2 = _edge(planes, face, 6, x, y)
    if (
        e0 < _threshold(planes, face, 0)
        or e1 < _threshold(planes, face, 3)
        or e2 < _threshold(planes, face, 6)
    ):
        return
    nearness = wp.float32((e0 + e1 + e2) * planes[face, 9])
    if nearness > 0.0 and wp.float64(nearness) < NEAREST:
        key = (wp.uint64(wp.cast(nearness, wp.uint32)) << wp.uint64(32)) | (
            LAST_KEY - wp.uint64(face)
        )
        wp.atomic_max(nearest, row * width + column, key)


@kernel
def scan(
    points: Doubles2,
    faces: Ints2,
    width: int,
    height: int,
    planes: Doubles2,
    boxes: Ints2,
    front: Bytes,
    nearest: Keys,
    large: Ints,
    large_count: Ints,
) -> None:
    """Compute edge functions (positive inside) and box of one triangle; scan a small one.

    `front` is 1 for a triangle that is drawn, else 0.
    """
    face = wp.tid()
    front[face] = wp.uint8(0)
    a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
    _store_cross(points, b, c, planes, face, 0)
    _store_cross(points, c, a, planes, face, 3)
    _store_cross(points, a, b, planes, face, 6)
    area = (
        planes[face, 0] * points[a, 0]
        + planes[face, 1] * points[a, 1]
        + planes[face, 2] * points[a, 2]
    )
    if not (area > ZERO and wp.isfinite(area)):  # faces away, has no area, or is not finite
        return
    planes[face, 9] = ONE / area
    front[face] = wp.uint8(1)
    bounds = wp.vec4d(FAR_AWAY, -FAR_AWAY, FAR_AWAY, -FAR_AWAY)
    bounds = _side(bounds, points, a, b)
    bounds = _side(bounds, points, b, c)
    bounds = _side(bounds, points, c, a)
    wide = wp.float64(width)
    high = wp.float64(height)
    left = int(wp.clamp(wp.ceil(bounds[0] - SLACK), ZERO, wide))
    right = int(wp.clamp(wp.floor(bounds[1] + SLACK), -ONE, wide - ONE))
    top = int(wp.clamp(wp.ceil(bounds[2] - SLACK), ZERO, high))
    bottom = int(wp.clamp(wp.floor(bounds[3] + SLACK), -ONE, high - ONE))
    if left > right or top > bottom:
        return
    if (right - left + 1) * (bottom - top + 1) > SMALL_BOX_PIXELS:
        boxes[face, 0] = left
        boxes[face, 1] = right
        boxes[face, 2] = top
        boxes[face, 3] = bottom
        large[wp.atomic_add(large_count, 0, 1)] = face
        return
    for row in range(top, bottom + 1):
        for column in range(left, right + 1):
            _offer(planes, face, column, row, width, nearest)


@kernel
def scan_large(
    planes: Doubles2,
    boxes: Ints2,
    large: Ints,
    large_count: Ints,
    width: int,
    groups: int,
    lanes: int,
    nearest: Keys,
) -> None:
    """Scan large triangles: each group takes the next triangle, each lane its next pixel."""
    group, lane = wp.tid()
    for entry in range(group, large_count[0], groups):
        face = large[entry]
        left = boxes[face, 0]
        top = boxes[face, 2]
        across = boxes[face, 1] - left + 1
        for pixel in range(lane, across * (boxes[face, 3] - top + 1), lanes):
            _offer(planes, face, left + pixel % across, top + pixel // across, width, nearest)


@kernel
def resolve(
    nearest: Keys, planes: Doubles2, width: int, triangle: Ints, barycentrics: Floats2
) -> None:
    """Triangle and barycentric coordinates in one pixel; triangle -1 where there is none."""
    pixel = wp.tid()
    key = nearest[pixel]
    if key == wp.uint64(0):
        triangle[pixel] = -1
        return
    face = int(LAST_KEY - (key & LAST_KEY))
    triangle[pixel] = face
    x, y = wp.float64(pixel % width), wp.float64(pixel // width)
    e0 = _edge(planes, face, 0, x, y)
    e1 = _edge(planes, face, 3, x, y)
    e2 = _edge(planes, face, 6, x, y)
    share = ONE / (e0 + e1 + e2)
    barycentrics[pixel, 0] = wp.float32(e0 * share)
    barycentrics[pixel, 1] = wp.float32(e1 * share)
    barycentrics[pixel, 2] = wp.float32(e2 * share)
