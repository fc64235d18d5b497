"""Point kernels: lists of visible vertices or pixels, and the texture network's input for each.

A thread scans `RUN_ENTRIES` neighbours and reserves places for all marked ones at once: one atomic
sum instead of many, and neighbours stay neighbours. The order of the runs changes from frame to
frame, which does not change a point's colour.
"""

from __future__ import annotations

from .arrays import Floats2, Halves2, Ints, Ints2
from .library import kernel, wp
from .pixels import between, normal_at

RUN_ENTRIES = 32
"""Entries that one thread scans."""

POINT_LANES = 8
"""Threads that write the numbers of one point side by side."""


@kernel
def mark_vertices(triangle: Ints, faces: Ints2, marks: Ints) -> None:
    """Mark the corners of the triangle in one pixel; threads may write the same mark."""
    face = triangle[wp.tid()]
    if face >= 0:
        for corner in range(3):
            marks[faces[face, corner]] = 0


@kernel
def list_marked(marks: Ints, run: int, indices: Ints, count: Ints) -> None:
    """Append the indices of a run's entries that are not negative."""
    start = wp.tid() * run
    stop = wp.min(start + run, marks.shape[0])
    number = int(0)
    for entry in range(start, stop):
        if marks[entry] >= 0:
            number += 1
    if number == 0:
        return
    place = wp.atomic_add(count, 0, number)
    for entry in range(start, stop):
        if marks[entry] >= 0:
            indices[place] = entry
            place += 1


@kernel
def load_vertices(
    indices: Ints, count: Ints, codes: Floats2, normals: Floats2, lanes: int, points: Halves2
) -> None:
    """Write code and normal of one listed vertex to the network's input."""
    entry, lane = wp.tid()
    if entry >= count[0]:
        return
    vertex = indices[entry]
    size = codes.shape[1]
    for column in range(lane, size + 3, lanes):
        value = float(0.0)
        if column < size:
            value = codes[vertex, column]
        else:
            value = normals[vertex, column - size]
        points[entry, column] = wp.float16(value)


@kernel
def load_pixels(
    indices: Ints,
    count: Ints,
    triangle: Ints,
    barycentrics: Floats2,
    faces: Ints2,
    codes: Floats2,
    normals: Floats2,
    lanes: int,
    points: Halves2,
) -> None:
    """Write interpolated code and normal of one listed pixel to the network's input."""
    entry, lane = wp.tid()
    if entry >= count[0]:
        return
    pixel = indices[entry]
    size = codes.shape[1]
    face = triangle[pixel]
    for column in range(lane, size, lanes):
        points[entry, column] = wp.float16(between(codes, faces, face, barycentrics, pixel, column))
    if lane < 3:
        points[entry, size + lane] = wp.float16(
            normal_at(normals, faces, face, barycentrics, pixel)[lane]
        )


@kernel
def scatter_colours(indices: Ints, count: Ints, outputs: Floats2, colours: Floats2) -> None:
    """Write the network's colour of one listed vertex or pixel to its place."""
    entry = wp.tid()
    if entry < count[0]:
        for channel in range(3):
            colours[indices[entry], channel] = outputs[entry, channel]
