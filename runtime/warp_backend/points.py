"""Point kernels: what is seen, listed without gaps, and what the texture network is told of each entry.

A thread looks through `RUN` neighbours and takes room for all that are seen at once: one atomic sum instead of many,
and neighbours stay neighbours. The order of the runs changes from frame to frame; a point's colour does not know it.
"""

from __future__ import annotations

from .arrays import Floats2, Halves2, Ints, Ints2
from .library import kernel, wp
from .pixels import between, normal_at

RUN = 32
LANES = 8
"""Threads that write the numbers of one point side by side."""


@kernel
def mark_vertices(triangle: Ints, faces: Ints2, seen: Ints) -> None:
    """Mark the corners of what one pixel sees; threads may write the same."""
    face = triangle[wp.tid()]
    if face >= 0:
        for corner in range(3):
            seen[faces[face, corner]] = 0


@kernel
def list_seen(seen: Ints, run: int, listed: Ints, count: Ints) -> None:
    """Write the indices of a run's entries that are not negative."""
    start = wp.tid() * run
    stop = wp.min(start + run, seen.shape[0])
    found = int(0)
    for entry in range(start, stop):
        if seen[entry] >= 0:
            found += 1
    if found == 0:
        return
    place = wp.atomic_add(count, 0, found)
    for entry in range(start, stop):
        if seen[entry] >= 0:
            listed[place] = entry
            place += 1


@kernel
def tell_vertices(
    listed: Ints, count: Ints, codes: Floats2, normals: Floats2, lanes: int, points: Halves2
) -> None:
    """Code and normal of one listed vertex."""
    entry, lane = wp.tid()
    if entry >= count[0]:
        return
    vertex, size = listed[entry], codes.shape[1]
    for column in range(lane, size + 3, lanes):
        value = float(0.0)
        if column < size:
            value = codes[vertex, column]
        else:
            value = normals[vertex, column - size]
        points[entry, column] = wp.float16(value)


@kernel
def tell_pixels(
    listed: Ints, count: Ints, triangle: Ints, barycentrics: Floats2, faces: Ints2, codes: Floats2, normals: Floats2,
    lanes: int, points: Halves2,
) -> None:  # fmt: skip
    """Code and normal of one listed pixel, interpolated."""
    entry, lane = wp.tid()
    if entry >= count[0]:
        return
    pixel, size = listed[entry], codes.shape[1]
    face = triangle[pixel]
    for column in range(lane, size, lanes):
        points[entry, column] = wp.float16(between(codes, faces, face, barycentrics, pixel, column))
    if lane < 3:
        points[entry, size + lane] = wp.float16(
            normal_at(normals, faces, face, barycentrics, pixel)[lane]
        )


@kernel
def put_back(listed: Ints, count: Ints, told: Floats2, colours: Floats2) -> None:
    """The colour of one listed vertex or pixel to its place."""
    entry = wp.tid()
    if entry < count[0]:
        for channel in range(3):
            colours[listed[entry], channel] = told[entry, channel]
