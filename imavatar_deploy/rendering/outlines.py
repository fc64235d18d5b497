"""OutlineFinder: where the visible outline of a mesh passes between the centres of adjacent pixels.

The principle is that of Laine et al., "Modular primitives for high-performance differentiable
rendering" (2020), section 3.6: an edge between a triangle that faces the camera and one that does
not, or none, ends a surface in the image. Where it passes between two pixel centres, it divides
the area of both pixels. Here the edges are projected, not searched for in the triangles of the two
pixels: near an outline, triangles are foreshortened, and most cover no pixel centre.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.arrays import Array, Float32, Int32, UInt8

from .rasteriser import NEAR, Rasteriser, RasterState
from .workers import kernel

# Arrays in compiled loops
Floats = NDArray[np.float32]
Double = NDArray[np.float64]
Index = NDArray[np.int32]
Bytes = NDArray[np.uint8]

Point = tuple[float, float, float]
"""Column, row and 1 / w."""

RIGHT = 1
"""Flag of a pixel: an outline passes between its centre and that of its right neighbour."""

DOWN = 2
"""Flag of a pixel: between its centre and that of the neighbour below."""

LEFT = 4
"""Flag of a pixel: between its centre and that of its left neighbour."""

UP = 8
"""Flag of a pixel: between its centre and that of the neighbour above."""

WORD = 8
"""Flags that are tested together where no outline passes."""

MIN_GAP = 0.5
"""Smallest step in depth at an outline, in widths of a pixel at that depth. Below it the surface
continues, as at the seam of two parts whose vertices coincide."""


class Crossings(NamedTuple):
    """Outlines between pixel centres; the next frame overwrites the arrays.

    Pair 0 of `lines` and `nearness` is that of a pixel and its right neighbour, pair 1 that of a
    pixel and the one below, pair 2 that of the one above and the pixel, stored twice so that no
    thread reads rows of another. They hold values only where the flag is set.
    """

    flags: UInt8[Array, "H P"]
    """Sum of `RIGHT`, `DOWN`, `LEFT` and `UP`; rows are padded with zeros to whole words."""
    words: NDArray[np.uint64]
    """`[H, P / WORD]`, the same memory, `WORD` flags in each number."""
    lines: Float32[Array, "H W 3 3"]
    """Distance of the crossing from the centre of the first pixel of the pair, in 0..1, and the
    edge's normal in the image (column, row), whose absolute components sum to one."""
    nearness: Float32[Array, "H W 3"]
    """1 / w at the crossing."""


class Outlines(NamedTuple):
    """What `find_crossings` reads of a frame, and room for its result."""

    edges: Int32[Array, "E 4"]  # of `mesh_edges`
    state: RasterState
    scale: float  # factor of 1 / w for a step in depth of `MIN_GAP` pixels
    crossings: Crossings


def mesh_edges(faces: Int32[Array, "F 3"]) -> Int32[Array, "E 4"]:
    """Return the edges of a mesh.

    Returns:
        Vertices a and b, the face with a before b in its order, and the face with b before a; F in
        place of a face that does not exist.
    """
    corners = np.asarray(faces, dtype=np.int64)
    a = corners.ravel()
    b = np.roll(corners, -1, axis=1).ravel()
    face = np.repeat(np.arange(len(corners)), 3)
    forward = a < b
    # Edges with equal corners are adjacent; of those, faces with a before b come first.
    order = np.lexsort((face, ~forward, np.maximum(a, b), np.minimum(a, b)))
    a, b, face, forward = a[order], b[order], face[order], forward[order]
    pairs = np.zeros(len(order), dtype=bool)
    pairs[:-1] = forward[:-1] & ~forward[1:] & (a[:-1] == b[1:]) & (b[:-1] == a[1:])
    second = np.roll(pairs, 1)
    other = np.full(len(order), len(corners))
    other[pairs] = np.roll(face, -1)[pairs]
    return np.stack([a, b, face, other], axis=1)[~second].astype(np.int32)


class OutlineFinder:
    """Prepares the search for outlines in frames of a rasteriser that culls.

    Args:
        faces: those of the rasteriser.
    """

    def __init__(
        self, faces: Int32[Array, "F 3"], rasteriser: Rasteriser, size: tuple[int, int]
    ) -> None:
        self._rasteriser = rasteriser
        self._edges = mesh_edges(faces)
        words = np.zeros((size[0], -(-size[1] // WORD)), dtype=np.uint64)
        self._crossings = Crossings(
            words.view(np.uint8),
            words,
            np.zeros((*size, 3, 3), dtype=np.float32),
            np.zeros((*size, 3), dtype=np.float32),
        )

    def outlines(self, image_matrix: Float32[Array, "3 4"]) -> Outlines:
        """Return what finds the outlines of the frame that the rasteriser has drawn last.

        Args:
            image_matrix: that of the frame.
        """
        scale = 1.0 - MIN_GAP / focal_length(image_matrix)
        return Outlines(self._edges, self._rasteriser.state, scale, self._crossings)


def focal_length(image_matrix: Float32[Array, "3 4"]) -> float:
    """Return the focal length of an image matrix in columns.

    A segment of length s at depth w, parallel to the rows, has s f / w pixels.
    """
    columns, _, depth = image_matrix[:, :3].astype(np.float64)
    squared = float(depth @ depth)  # 1 for a matrix of `Camera`
    # |columns x depth| / |depth|^2, by Lagrange's identity
    return float(np.sqrt(columns @ columns * squared - (columns @ depth) ** 2)) / squared


@kernel
def find_crossings(start: int, stop: int, outlines: Outlines, triangle: Index) -> None:
    """Find the outlines at the pixels of the rows start..stop.

    Every thread goes through all edges: at 50,000 faces that takes as long as another start of the
    threads.
    """
    edges, crossings = outlines.edges, outlines.crossings
    points, planes, front = outlines.state
    crossings.flags[start:stop] = 0
    for edge in range(len(edges)):
        first = front[edges[edge, 2]]
        if first == front[edges[edge, 3]]:
            continue
        a, b = edges[edge, 0], edges[edge, 1]
        if not first:  # the surface is on the other side
            a, b = b, a
        if points[a, 2] > NEAR and points[b, 2] > NEAR:
            _walk(start, stop, a, b, points, planes, triangle, outlines.scale, crossings)


@kernel
def _walk(
    start: int,
    stop: int,
    a: int,
    b: int,
    points: Double,
    planes: Double,
    triangle: Index,
    scale: float,
    crossings: Crossings,
) -> None:
    """Follow an edge from a to b, which has its surface on the right where it goes down."""
    qa, qb = 1.0 / points[a, 2], 1.0 / points[b, 2]
    first = (points[a, 0] * qa, points[a, 1] * qa, qa)
    last = (points[b, 0] * qb, points[b, 1] * qb, qb)
    nx, ny = last[1] - first[1], first[0] - last[0]  # towards the surface
    length = abs(nx) + abs(ny)
    if length > 0.0 and max(first[1], last[1]) >= start - 1 and min(first[1], last[1]) <= stop:
        normal = (nx / length, ny / length)
        _meet_rows(start, stop, first, last, normal, planes, triangle, scale, crossings)
        _meet_columns(start, stop, first, last, normal, planes, triangle, scale, crossings)


@kernel
def _meet_rows(
    start: int,
    stop: int,
    a: Point,
    b: Point,
    normal: tuple[float, float],
    planes: Double,
    triangle: Index,
    scale: float,
    crossings: Crossings,
) -> None:
    """Enter where an edge passes between pixels of the rows start..stop and their right neighbours.

    It meets the row y in its range, without the range's end, so that of two edges with a common
    vertex exactly one does. A crossing at a pixel centre belongs to the pair that ends there: the
    rasteriser gives that pixel to the surface on its right or below.
    """
    top = int(np.ceil(max(min(a[1], b[1]), start)))
    bottom = int(np.ceil(min(max(a[1], b[1]), stop)))
    for y in range(top, bottom):
        t = (y - a[1]) / (b[1] - a[1])
        x = a[0] + t * (b[0] - a[0])
        if 0.0 < x <= triangle.shape[1] - 1.0:
            left = int(np.ceil(x)) - 1
            crossing = (x, float(y), a[2] + t * (b[2] - a[2]))
            if _is_nearest(y, left, 0, RIGHT, crossing[2], crossings) and _ends_surface(
                y, left, y, left + 1, normal[0], crossing, planes, triangle, scale
            ):
                line = (x - left, normal[0], normal[1])
                _enter(y, left, 0, RIGHT, line, crossing[2], crossings)
                crossings.flags[y, left + 1] |= LEFT


@kernel
def _meet_columns(
    start: int,
    stop: int,
    a: Point,
    b: Point,
    normal: tuple[float, float],
    planes: Double,
    triangle: Index,
    scale: float,
    crossings: Crossings,
) -> None:
    """Enter where an edge passes between pixels, of which one is in start..stop, and those below.

    Both entries of a pair agree; a thread has one of them at its first and last row.
    """
    height, width = triangle.shape
    first = int(np.ceil(max(min(a[0], b[0]), 0.0)))
    last = int(np.ceil(min(max(a[0], b[0]), float(width))))
    for x in range(first, last):
        t = (x - a[0]) / (b[0] - a[0])
        y = a[1] + t * (b[1] - a[1])
        if not max(start - 1.0, 0.0) < y <= min(stop, height - 1.0):
            continue
        above = int(np.ceil(y)) - 1
        crossing = (float(x), y, a[2] + t * (b[2] - a[2]))
        row, pair, flag = (above, 1, DOWN) if above >= start else (start, 2, UP)
        if _is_nearest(row, x, pair, flag, crossing[2], crossings) and _ends_surface(
            above, x, above + 1, x, normal[1], crossing, planes, triangle, scale
        ):
            line = (y - above, normal[0], normal[1])
            if above >= start:
                _enter(above, x, 1, DOWN, line, crossing[2], crossings)
            if above + 1 < stop:
                _enter(above + 1, x, 2, UP, line, crossing[2], crossings)


@kernel
def _is_nearest(
    row: int, column: int, pair: int, flag: int, nearness: float, crossings: Crossings
) -> bool:
    """Return whether no crossing that is as near has been entered."""
    known = crossings.flags[row, column] & flag
    return not (known and crossings.nearness[row, column, pair] >= np.float32(nearness))


@kernel
def _ends_surface(
    row: int,
    column: int,
    other_row: int,
    other_column: int,
    towards: float,
    crossing: Point,
    planes: Double,
    triangle: Index,
    scale: float,
) -> bool:
    """Return whether a visible surface ends between two pixels.

    Args:
        towards: component from the first pixel to the second of the normal towards the surface.
        crossing: where the edge passes between them.
    """
    if towards > 0.0:
        row, column, other_row, other_column = other_row, other_column, row, column
    inside, outside = triangle[row, column], triangle[other_row, other_column]
    if inside < 0 or inside == outside:
        return False
    if outside < 0:
        return True
    x, y, nearness = crossing
    surface = max(_nearness(planes, inside, x, y), _nearness(planes, inside, column, row))
    return _nearness(planes, outside, x, y) < scale * min(nearness, surface)


@kernel
def _enter(
    row: int,
    column: int,
    pair: int,
    flag: int,
    line: tuple[float, float, float],
    nearness: float,
    crossings: Crossings,
) -> None:
    crossings.flags[row, column] |= flag
    crossings.nearness[row, column, pair] = nearness
    for term in range(3):
        crossings.lines[row, column, pair, term] = line[term]


@kernel
def _nearness(planes: Double, face: int, x: float, y: float) -> float:
    """Return 1 / w of the plane of a triangle at a point of the image."""
    value: float = (
        (planes[face, 0] + planes[face, 3] + planes[face, 6]) * x
        + (planes[face, 1] + planes[face, 4] + planes[face, 7]) * y
        + (planes[face, 2] + planes[face, 5] + planes[face, 8])
    ) * planes[face, 9]
    return value
