"""Rasteriser: nearest triangle and barycentrics of each pixel, by homogeneous edge functions.

With p_i = (column w, row w, w) of a triangle's corners, the point sum b_i p_i projects to the pixel
(x, y), where

    b_i / w = e_i(x, y) / det,           1 / w = sum e_i / det,
    e_i(x, y) = (p_j x p_k) . (x, y, 1), det = p_0 . (p_1 x p_2)

(Olano and Greer, "Triangle scan conversion using 2D homogeneous coordinates", 1997). So
e_i / sum e_i are the perspective-correct barycentrics, and a triangle that crosses the near plane
is clipped by one comparison of 1 / w.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.arrays import Array, Float32, Float64, Int32, UInt8

from .workers import Workers, kernel

# Arrays in compiled loops
Floats = NDArray[np.float32]
Double = NDArray[np.float64]
Index = NDArray[np.int32]
Bytes = NDArray[np.uint8]
Bounds = tuple[float, float, float, float]
"""Lowest and highest column, lowest and highest row."""

NEAR = 0.05
"""Distance of the near plane from the camera; model units (12 mm)."""

SLACK = 1e-6
"""Pixels by which bounding boxes are widened, so that their rounding excludes no covered pixel."""

JUST_ABOVE_ZERO = 1e-300
"""Threshold of an edge function where the pixels on the edge belong to the neighbour."""


@dataclass(frozen=True)
class Fragments:
    """The nearest triangle in each pixel; the next `Rasteriser.draw` overwrites the arrays."""

    triangle: Int32[Array, "H W"]
    """Index of the triangle; -1 where there is none."""
    barycentrics: Float32[Array, "H W 3"]
    """Perspective-correct, sum to one; undefined where there is no triangle."""


class RasterState(NamedTuple):
    """Projected triangles of a frame; the next `Rasteriser.draw` overwrites the arrays."""

    points: Float64[Array, "V 3"]
    """(column w, row w, w) of the vertices."""
    planes: Float64[Array, "F 10"]
    """Three edge functions and 1 / |det|; undefined for triangles that are not drawn."""
    front: UInt8[Array, " G"]
    """1 for a triangle that is drawn, else 0; G = F + 1, and the last one is 0."""


class Rasteriser:
    """Draws the triangles of one mesh into images of one size.

    Pixel centres are at integer coordinates. A pixel on an edge belongs to the triangle that has it
    as a left or top edge: a mesh without cracks is drawn without holes and without double hits. Of
    equally near triangles the first wins. A triangle with a corner that is not finite, or without
    area, is not drawn.

    Args:
        faces: counter-clockwise seen from outside.
        cull: drop triangles seen from behind; correct for closed surfaces.
    """

    def __init__(
        self,
        faces: Int32[Array, "F 3"],
        width: int,
        height: int,
        workers: Workers,
        *,
        cull: bool = True,
    ) -> None:
        self._faces = np.array(faces)
        self._cull = cull
        self._workers = workers
        self.state = RasterState(
            points=np.zeros((self._faces.max(initial=-1) + 1, 3), dtype=np.float64),
            planes=np.zeros((len(faces), 10), dtype=np.float64),
            front=np.zeros(len(faces) + 1, dtype=np.uint8),
        )
        # first and last column, first and last row
        self._boxes = np.zeros((len(faces), 4), dtype=np.int32)
        # 1 / w
        self._nearness = np.zeros((height, width), dtype=np.float32)
        self._fragments = Fragments(
            np.full((height, width), -1, dtype=np.int32),
            np.zeros((height, width, 3), dtype=np.float32),
        )

    def draw(
        self, vertices: Float32[Array, "V 3"], image_matrix: Float32[Array, "3 4"]
    ) -> Fragments:
        """Draw vertices projected by `image_matrix` (see `Camera.image_matrix`)."""
        out = self._fragments
        size = out.triangle.shape
        points, planes, front = self.state
        self._workers.each(_project, len(points), vertices, image_matrix.astype(np.float64), points)
        triangles = (points, self._faces, self._cull, size, planes, self._boxes, front)
        self._workers.each(_set_up, len(self._faces), *triangles)
        scan = (planes, self._boxes, self._nearness, out.triangle, out.barycentrics)
        self._workers.each(_scan, size[0], *scan)
        return out


@kernel
def _project(start: int, stop: int, vertices: Floats, matrix: Double, points: Double) -> None:
    """Project the vertices start..stop, in float64 so that rounding moves no visible edge."""
    for vertex in range(start, stop):
        x, y, z = vertices[vertex, 0], vertices[vertex, 1], vertices[vertex, 2]
        for row in range(3):
            points[vertex, row] = (
                matrix[row, 0] * x + matrix[row, 1] * y + matrix[row, 2] * z + matrix[row, 3]
            )


@kernel
def _set_up(
    start: int,
    stop: int,
    points: Double,
    faces: Index,
    cull: bool,
    size: tuple[int, int],
    planes: Double,
    boxes: Index,
    front: Bytes,
) -> None:
    """Compute edge functions (positive inside) and pixel boxes of the triangles start..stop.

    A triangle that is not drawn has an empty box.
    """
    for face in range(start, stop):
        boxes[face] = 0, -1, 0, -1
        front[face] = 0
        a, b, c = faces[face]
        _cross(points, b, c, planes[face, 0:3])
        _cross(points, c, a, planes[face, 3:6])
        _cross(points, a, b, planes[face, 6:9])
        plane = planes[face]
        det = plane[0] * points[a, 0] + plane[1] * points[a, 1] + plane[2] * points[a, 2]
        if det == 0.0 or not np.isfinite(det) or (cull and det > 0.0):
            continue
        if det < 0.0:  # counter-clockwise seen from the camera
            for term in range(9):
                plane[term] = -plane[term]
        plane[9] = 1.0 / abs(det)
        front[face] = 1
        _bound(points, faces[face], size, boxes[face])


@kernel
def _cross(points: Double, j: int, k: int, edge: Double) -> None:
    """Compute p_j x p_k.

    It is exactly -(p_k x p_j), so neighbours agree on which side of an edge a pixel is.
    """
    edge[0] = points[j, 1] * points[k, 2] - points[j, 2] * points[k, 1]
    edge[1] = points[j, 2] * points[k, 0] - points[j, 0] * points[k, 2]
    edge[2] = points[j, 0] * points[k, 1] - points[j, 1] * points[k, 0]


@kernel
def _bound(points: Double, corners: Index, size: tuple[int, int], box: Index) -> None:
    """Compute the pixel box of the part of a triangle beyond the near plane."""
    bounds = (np.inf, -np.inf, np.inf, -np.inf)
    for i in range(3):
        a, b = corners[i], corners[(i + 1) % 3]
        wa, wb = points[a, 2], points[b, 2]
        if wa > NEAR:
            bounds = _widen(bounds, points[a, 0] / wa, points[a, 1] / wa)
        if (wa > NEAR) != (wb > NEAR):
            t = (NEAR - wa) / (wb - wa)
            x = points[a, 0] + t * (points[b, 0] - points[a, 0])
            y = points[a, 1] + t * (points[b, 1] - points[a, 1])
            bounds = _widen(bounds, x / NEAR, y / NEAR)
    height, width = size
    box[0] = max(np.ceil(bounds[0] - SLACK), 0.0)
    box[1] = min(np.floor(bounds[1] + SLACK), width - 1.0)
    box[2] = max(np.ceil(bounds[2] - SLACK), 0.0)
    box[3] = min(np.floor(bounds[3] + SLACK), height - 1.0)


@kernel
def _widen(bounds: Bounds, x: float, y: float) -> Bounds:
    return min(bounds[0], x), max(bounds[1], x), min(bounds[2], y), max(bounds[3], y)


@kernel
def _scan(
    start: int,
    stop: int,
    planes: Double,
    boxes: Index,
    nearness: Floats,
    triangle: Index,
    barycentrics: Floats,
) -> None:
    """Depth-test every triangle against the rows start..stop."""
    nearness[start:stop] = 0.0
    triangle[start:stop] = -1
    for face in range(len(boxes)):
        first, last = max(boxes[face, 2], start), min(boxes[face, 3], stop - 1)
        if first > last or boxes[face, 0] > boxes[face, 1]:
            continue
        # Scalars, so that stores do not force reloads.
        a0, b0, c0, a1, b1, c1, a2, b2, c2, per_area = planes[face]
        t0, t1, t2 = _threshold(a0, b0), _threshold(a1, b1), _threshold(a2, b2)
        left, right = boxes[face, 0], boxes[face, 1]
        for y in range(first, last + 1):
            r0, r1, r2 = b0 * y + c0, b1 * y + c1, b2 * y + c2
            inside = False
            for x in range(left, right + 1):
                e0, e1, e2 = a0 * x + r0, a1 * x + r1, a2 * x + r2
                if e0 < t0 or e1 < t1 or e2 < t2:
                    if inside:
                        break  # a triangle is convex
                    continue
                inside = True
                total = e0 + e1 + e2
                inverse_depth = np.float32(total * per_area)
                if inverse_depth > nearness[y, x] and inverse_depth < 1.0 / NEAR:
                    nearness[y, x] = inverse_depth
                    triangle[y, x] = face
                    share = 1.0 / total
                    barycentrics[y, x, 0] = e0 * share
                    barycentrics[y, x, 1] = e1 * share
                    barycentrics[y, x, 2] = e2 * share


@kernel
def _threshold(across: float, down: float) -> float:
    """Return zero for a left or top edge, which owns the pixels on it, else the next number."""
    return 0.0 if across > 0.0 or (across == 0.0 and down > 0.0) else JUST_ABOVE_ZERO
