"""A sparse cubic lattice, refined only where it may hold the surface: memory grows with the area, not the volume.

Lattice points are integer triples, and a cell is named by its lowest corner. The cube [-half, half]^3 has
`cells_per_side` cells a side, twice as many with each refinement.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.optional import require
from imavatar_deploy.progress import Progress

from .field import Field
from .mesh import Mesh

Float = NDArray[np.float32]

Index = NDArray[np.int64]

CORNERS = np.indices((2, 2, 2), dtype=np.int64).reshape(3, 8).T
"""[8, 3] offsets of a cell's corners; corner 4x + 2y + z."""

SAFETY = 1.25
"""How much steeper the field may be inside a cell than the edges of the cell and its neighbours tell."""


@dataclass(frozen=True)
class Lattice:
    """Field values at the corners of some cells."""

    half: float  # half the side of the cube, model units
    cells_per_side: int
    cells: Index  # [C, 3]
    corners: Index  # [C, 8] rows of `points`
    points: Index  # [P, 3] sorted
    values: Float  # [P]

    @property
    def cell_size(self) -> float:
        """Side of a cell in model units."""
        return 2.0 * self.half / self.cells_per_side

    def positions(self, points: NDArray[np.generic]) -> Float:
        """Lattice coordinates `[N, 3]` -> model units."""
        return (np.asarray(points, dtype=np.float64) * self.cell_size - self.half).astype(
            np.float32
        )

    def crossed(self) -> NDArray[np.bool_]:
        """[C] cells with corners on both sides of the surface."""
        inside = self.values[self.corners] < 0
        return np.asarray(inside.any(axis=1) & ~inside.all(axis=1))


def sample_near_surface(
    field: Field,
    *,
    coarse: int,
    fine: int,
    half: float,
    progress: Progress,
    thorough: int | None = None,
) -> Lattice:
    """The cells that hold the surface at `fine` cells a side, found from all cells at `coarse` a side.

    Args:
        field: what is extracted.
        coarse: cells a side of which every one is looked at. A part of the head that is thinner than such a cell and
            shows at none of its corners is still found as long as the field falls towards it (`_octants_to_visit`).
        fine: `coarse` times a power of two.
        half: half the side of the cube, model units.
        progress: told of the points that are asked at each level.
        thorough: beyond so many cells a side only the surface found so far is followed; a part that lies within one
            such cell and shows at none of its corners is lost, and half of the points are spared. Never, by default.
    """
    thorough = fine if thorough is None else thorough
    no_cells = np.zeros((0, 3), dtype=np.int64)
    none = Lattice(
        half, coarse, no_cells, np.zeros((0, 8), np.int64), no_cells, np.zeros(0, np.float32)
    )
    lattice = _with_cells(none, _cells_in_ball(none, field.radius), field, progress)
    while lattice.cells_per_side < fine:
        lattice = _refined(lattice, field, progress, thorough=lattice.cells_per_side < thorough)
    crossed = lattice.crossed()
    return replace(lattice, cells=lattice.cells[crossed], corners=lattice.corners[crossed])


def _cells_in_ball(lattice: Lattice, radius: float) -> Index:
    """[C, 3] all cells that may meet the ball outside of which the field has no surface."""
    cells = np.indices((lattice.cells_per_side,) * 3, dtype=np.int64).reshape(3, -1).T
    centres = lattice.positions(cells + 0.5)
    return np.asarray(
        cells[np.linalg.norm(centres, axis=1) <= radius + np.sqrt(3.0) / 2.0 * lattice.cell_size]
    )


def _refined(parent: Lattice, field: Field, progress: Progress, *, thorough: bool) -> Lattice:
    """Visit the octants that may hold the surface, then follow it wherever it leaves them."""
    visited = (
        _octants_to_visit(parent)
        if thorough
        else np.repeat(parent.crossed()[:, None], len(CORNERS), axis=1)
    )
    octants = (2 * parent.cells[:, None] + CORNERS)[visited]
    lattice = replace(parent, cells_per_side=2 * parent.cells_per_side, points=2 * parent.points)
    lattice = _with_cells(lattice, octants, field, progress)
    while len(missing := _missing_neighbours(lattice)):
        lattice = _with_cells(lattice, np.concatenate([lattice.cells, missing]), field, progress)
    return lattice


def _with_cells(known: Lattice, cells: Index, field: Field, progress: Progress) -> Lattice:
    """A lattice of exactly these cells; values that `known` holds are not asked again."""
    side = known.cells_per_side + 1
    keys, corners = np.unique(_key(cells[:, None] + CORNERS, side).reshape(-1), return_inverse=True)
    points = np.stack(np.unravel_index(keys, (side,) * 3), axis=1)
    rows, have = _find(_key(known.points, side), keys)
    values = np.zeros(len(keys), dtype=np.float32)
    values[have] = known.values[rows[have]]
    with progress(f"field at {known.cells_per_side}³", int((~have).sum())) as advance:
        values[~have] = field.values(known.positions(points[~have]), advance)
    return replace(known, cells=cells, corners=corners.reshape(-1, 8), points=points, values=values)


def _octants_to_visit(lattice: Lattice) -> NDArray[np.bool_]:
    """[C, 8] the octants, one to each corner, that may hold the surface.

    Every point of an octant is within `reach` = half a cell's diagonal of its corner, so the field cannot get to zero
    there if |f| > steepness * reach at that corner. The field is a logit, whose steepness differs from place to place
    and from the one of a distance: it is measured on the edges of each cell and its neighbours. Where a cell's corners
    differ in sign all of it is visited.
    """
    values = lattice.values[lattice.corners]
    reach = np.sqrt(3.0) / 2.0 * lattice.cell_size
    near = np.abs(values) <= SAFETY * _steepness(lattice)[:, None] * reach
    return np.asarray(near | lattice.crossed()[:, None])


def _steepness(lattice: Lattice) -> NDArray[np.float64]:
    """[C] the steepest slope on the edges of each cell and the cells that touch it, per model unit."""
    values = lattice.values[lattice.corners].reshape(-1, 2, 2, 2)
    slopes = [
        np.abs(np.diff(values, axis=axis)).reshape(len(values), -1).max(axis=1)
        for axis in (1, 2, 3)
    ]
    in_cell = np.linalg.norm(slopes, axis=0) / lattice.cell_size
    at_point = np.zeros(len(lattice.points))
    for corner in lattice.corners.T:
        np.maximum.at(at_point, corner, in_cell)
    return np.asarray(at_point[lattice.corners].max(axis=1))


def _missing_neighbours(lattice: Lattice) -> Index:
    """[M, 3] cells beyond a face that the surface crosses, and that the lattice does not have."""
    side = lattice.cells_per_side
    inside = (lattice.values[lattice.corners] < 0).reshape(-1, 2, 2, 2)
    beyond = []
    for axis in range(3):
        for end in (0, 1):
            face = inside.take(end, axis=axis + 1).reshape(-1, 4)
            neighbours = lattice.cells[face.any(axis=1) & ~face.all(axis=1)].copy()
            neighbours[:, axis] += 2 * end - 1
            beyond.append(neighbours)
    wanted = np.concatenate(beyond)
    keys = np.unique(_key(wanted[((wanted >= 0) & (wanted < side)).all(axis=1)], side))
    _, have = _find(np.sort(_key(lattice.cells, side)), keys)
    return np.stack(np.unravel_index(keys[~have], (side,) * 3), axis=1)


def _key(triples: Index, side: int) -> Index:
    """Integer triples -> one integer each, in the same order."""
    return np.asarray((triples[..., 0] * side + triples[..., 1]) * side + triples[..., 2])


def _find(keys: Index, wanted: Index) -> tuple[Index, NDArray[np.bool_]]:
    """Row of each wanted key among the sorted `keys`, and whether it is there."""
    if not len(keys):
        return np.zeros(len(wanted), dtype=np.int64), np.zeros(len(wanted), dtype=np.bool_)
    rows = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return rows, np.asarray(keys[rows] == wanted)


# Marching cubes over a sparse lattice, brick by brick; vertices on shared borders are merged exactly.
#
# scikit-image (0.34 s for 256³ dense on two cores) rather than PyMCubes (0.7 s).


BRICK = 32
"""Cells a side of one dense block: 144 kB of values."""

NUDGE = 0.1
"""Values nearer to zero than this share of the typical one are moved away from it: see `_off_the_corners`."""


def marching_cubes(lattice: Lattice) -> Mesh:
    """The zero surface inside the lattice's cells: outward faces, no vertex twice."""
    values = _off_the_corners(lattice.values, lattice.corners)
    bricks, brick_of = np.unique(lattice.cells // BRICK, axis=0, return_inverse=True)
    order = np.argsort(brick_of.reshape(-1), kind="stable")
    keys, places, faces, count = [], [], [], 0
    for origin, rows in zip(
        bricks * BRICK, np.split(order, _starts(brick_of, len(bricks))), strict=True
    ):
        vertices, triangles = _march(lattice.cells[rows] - origin, values[lattice.corners[rows]])
        keys.append(_edge_key(vertices, origin, lattice.cells_per_side + 1))
        places.append(lattice.positions(vertices.astype(np.float64) + origin))
        faces.append(triangles.astype(np.int64) + count)
        count += len(vertices)
    return _merged(np.concatenate(keys), np.concatenate(places), np.concatenate(faces))


def _starts(brick_of: Index, bricks: int) -> Index:
    return np.asarray(np.cumsum(np.bincount(brick_of.reshape(-1), minlength=bricks))[:-1])


def _off_the_corners(values: Float, corners: Index) -> Float:
    """Values no nearer to zero than a tenth of the typical one.

    A vertex then lies well inside its edge: the edge names it, and no ring of slivers, whose normals float32 cannot
    tell, surrounds a corner that the surface meets (smallest face of the reference head: 2e-7 instead of 3e-11).
    Vertices move by up to a tenth of a cell, and polishing puts them back onto the surface.
    """
    least = np.float32(NUDGE * np.median(np.abs(values[corners])))
    most = np.float32(1e5) * least  # so much more would push a vertex onto the corner by rounding
    return np.asarray(
        np.where(values < 0, -1, 1) * np.clip(np.abs(values), least, most), dtype=np.float32
    )


def _march(cells: Index, values: Float) -> tuple[Float, NDArray[np.int32]]:
    """Vertices `[V, 3]` in brick coordinates and faces of some cells `[C, 3]` with corner values `[C, 8]`."""
    volume = np.ones((BRICK + 1,) * 3, dtype=np.float32)
    volume[tuple(np.moveaxis(cells[:, None] + CORNERS, -1, 0))] = values
    mask = np.zeros(volume.shape, dtype=np.bool_)
    mask[tuple((cells + 1).T)] = True  # scikit-image names a cell by its highest corner
    measure = require("skimage.measure", extra="export")
    vertices, faces, _, _ = measure.marching_cubes(volume, 0.0, mask=mask)
    return vertices, faces


def _edge_key(vertices: Float, origin: Index, side: int) -> Index:
    """A name for each vertex, the same from every brick: the lattice edge it lies on, or the cell it is inside of."""
    lower = np.floor(vertices).astype(np.int64)
    between = vertices != lower
    axis = np.where(between.sum(axis=1) == 1, between.argmax(axis=1), 3)
    point = lower + origin
    return np.asarray(((point[:, 0] * side + point[:, 1]) * side + point[:, 2]) * 4 + axis)


def _merged(keys: Index, places: Float, faces: Index) -> Mesh:
    _, first, place = np.unique(keys, return_index=True, return_inverse=True)
    return Mesh(places[first], place.reshape(-1)[faces].astype(np.int32))
