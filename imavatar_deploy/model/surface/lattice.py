"""Sparse cubic lattice around a surface, and marching cubes over it.

The lattice is refined only where it may contain the surface, so that memory grows with the area.
Lattice points are integer triples. The index of a cell is that of its lowest corner. The cube
[-half, half]^3 has `cells_per_side` cells per side, twice as many after each refinement.

Sizes of axes: C cells, N lattice points, V vertices, F faces.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from imavatar_deploy.arrays import Array, Bool, Float32, Float64, Int32, Int64, Shaped
from imavatar_deploy.optional import require
from imavatar_deploy.progress import Progress

from .field import Field
from .mesh import Mesh

CORNERS = np.indices((2, 2, 2), dtype=np.int64).reshape(3, 8).T
"""[8, 3] offsets of a cell's corners; corner 4x + 2y + z."""

STEEPNESS_MARGIN = 1.25
"""Margin on the steepness of the field that the edges of a cell and its neighbours show."""


@dataclass(frozen=True)
class Lattice:
    """Cells with the field values at their corners."""

    half: float  # half the side of the cube, model units
    cells_per_side: int
    cells: Int64[Array, "C 3"]
    corners: Int64[Array, "C 8"]  # rows of `points`
    points: Int64[Array, "N 3"]  # sorted
    values: Float32[Array, " N"]

    @property
    def cell_size(self) -> float:
        """Length of the edges of a cell, model units."""
        return 2.0 * self.half / self.cells_per_side

    def positions(self, points: Shaped[Array, "N 3"]) -> Float32[Array, "N 3"]:
        """Convert lattice coordinates to model units."""
        return (np.asarray(points, dtype=np.float64) * self.cell_size - self.half).astype(
            np.float32
        )

    def crosses_surface(self) -> Bool[Array, " C"]:
        """Return the mask of cells with corners on both sides of the surface."""
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
    """Return the cells that contain the surface at `fine` cells per side.

    Args:
        field: the field to sample.
        coarse: cells per side of the initial lattice, which has all cells in the bounding sphere. A
            part that is thinner than such a cell and inside at none of its corners is still found
            if the field decreases towards it (`_octants_to_visit`).
        fine: cells per side of the result, `coarse` times a power of two.
        half: half the side of the cube, model units.
        progress: reports the evaluated points of each level.
        thorough: cells per side beyond which only cells that cross the surface are refined. This
            halves the number of points, but misses a part that lies within one such cell and is
            inside at none of its corners. By default all levels are thorough.
    """
    thorough = fine if thorough is None else thorough
    no_cells = np.zeros((0, 3), dtype=np.int64)
    none = Lattice(
        half, coarse, no_cells, np.zeros((0, 8), np.int64), no_cells, np.zeros(0, np.float32)
    )
    lattice = _with_cells(none, _cells_in_ball(none, field.radius), field, progress)
    while lattice.cells_per_side < fine:
        lattice = _refine(lattice, field, progress, thorough=lattice.cells_per_side < thorough)
    crossed = lattice.crosses_surface()
    return replace(lattice, cells=lattice.cells[crossed], corners=lattice.corners[crossed])


def _cells_in_ball(lattice: Lattice, radius: float) -> Int64[Array, "C 3"]:
    """Return all cells that may meet the ball outside of which the field has no surface."""
    cells = np.indices((lattice.cells_per_side,) * 3, dtype=np.int64).reshape(3, -1).T
    centres = lattice.positions(cells + 0.5)
    return np.asarray(
        cells[np.linalg.norm(centres, axis=1) <= radius + np.sqrt(3.0) / 2.0 * lattice.cell_size]
    )


def _refine(parent: Lattice, field: Field, progress: Progress, *, thorough: bool) -> Lattice:
    """Refine the octants that may contain the surface, then add neighbours until it is closed."""
    visited = (
        _octants_to_visit(parent)
        if thorough
        else np.repeat(parent.crosses_surface()[:, None], len(CORNERS), axis=1)
    )
    octants = (2 * parent.cells[:, None] + CORNERS)[visited]
    lattice = replace(parent, cells_per_side=2 * parent.cells_per_side, points=2 * parent.points)
    lattice = _with_cells(lattice, octants, field, progress)
    while len(missing := _missing_neighbours(lattice)):
        lattice = _with_cells(lattice, np.concatenate([lattice.cells, missing]), field, progress)
    return lattice


def _with_cells(
    known: Lattice, cells: Int64[Array, "C 3"], field: Field, progress: Progress
) -> Lattice:
    """Return a lattice of exactly these cells, with the values of `known` where it has them."""
    side = known.cells_per_side + 1
    keys, corners = np.unique(_key(cells[:, None] + CORNERS, side).reshape(-1), return_inverse=True)
    points = np.stack(np.unravel_index(keys, (side,) * 3), axis=1)
    rows, have = _find(_key(known.points, side), keys)
    values = np.zeros(len(keys), dtype=np.float32)
    values[have] = known.values[rows[have]]
    with progress(f"field at {known.cells_per_side}³", int((~have).sum())) as advance:
        values[~have] = field.values(known.positions(points[~have]), advance)
    return replace(known, cells=cells, corners=corners.reshape(-1, 8), points=points, values=values)


def _octants_to_visit(lattice: Lattice) -> Bool[Array, "C 8"]:
    """Return the mask of octants, one per corner, that may contain the surface.

    The distance of every point of an octant from its corner is at most `reach`, half the diagonal
    of a cell. The field cannot be zero there if |f| > steepness * reach at the corner. The
    steepness of the field, a logit, varies and differs from that of a distance: it is measured on
    the edges of each cell and its neighbours. All octants of a crossed cell are in the mask.
    """
    values = lattice.values[lattice.corners]
    reach = np.sqrt(3.0) / 2.0 * lattice.cell_size
    near = np.abs(values) <= STEEPNESS_MARGIN * _steepness(lattice)[:, None] * reach
    return np.asarray(near | lattice.crosses_surface()[:, None])


def _steepness(lattice: Lattice) -> Float64[Array, " C"]:
    """Return the largest slope per model unit on the edges of each cell and of its neighbours."""
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


def _missing_neighbours(lattice: Lattice) -> Int64[Array, "M 3"]:
    """Return the cells beyond faces that the surface crosses, less those of the lattice."""
    side = lattice.cells_per_side
    inside = (lattice.values[lattice.corners] < 0).reshape(-1, 2, 2, 2)
    beyond = []
    for axis in range(3):
        for end in (0, 1):
            face = inside.take(end, axis=axis + 1).reshape(-1, 4)
            neighbours = lattice.cells[face.any(axis=1) & ~face.all(axis=1)].copy()
            neighbours[:, axis] += 2 * end - 1
            beyond.append(neighbours)
    neighbours = np.concatenate(beyond)
    in_cube = ((neighbours >= 0) & (neighbours < side)).all(axis=1)
    keys = np.unique(_key(neighbours[in_cube], side))
    _, have = _find(np.sort(_key(lattice.cells, side)), keys)
    return np.stack(np.unravel_index(keys[~have], (side,) * 3), axis=1)


def _key(triples: Int64[Array, "*A 3"], side: int) -> Int64[Array, "*A"]:
    """Return one integer per integer triple, in the same order."""
    return np.asarray((triples[..., 0] * side + triples[..., 1]) * side + triples[..., 2])


def _find(
    keys: Int64[Array, " K"], queries: Int64[Array, " N"]
) -> tuple[Int64[Array, " N"], Bool[Array, " N"]]:
    """Return the row of each query among the sorted `keys`, and whether it is one of them."""
    if not len(keys):
        return np.zeros(len(queries), dtype=np.int64), np.zeros(len(queries), dtype=np.bool_)
    rows = np.minimum(np.searchsorted(keys, queries), len(keys) - 1)
    return rows, np.asarray(keys[rows] == queries)


# Marching cubes, one dense brick after another
#
# scikit-image takes 0.34 s for 256³ cells on two cores, PyMCubes 0.7 s.


BRICK = 32
"""Cells per side of a dense brick: 144 kB of values."""

MIN_VALUE_SHARE = 0.1
"""Smallest magnitude of a value, as a share of the median; see `_off_the_corners`."""


def marching_cubes(lattice: Lattice) -> Mesh:
    """Return the zero level set in a lattice; faces point outwards, vertices are unique."""
    values = _off_the_corners(lattice.values, lattice.corners)
    bricks, brick_of = np.unique(lattice.cells // BRICK, axis=0, return_inverse=True)
    order = np.argsort(brick_of.reshape(-1), kind="stable")
    keys, positions, faces = [], [], []
    count = 0
    for origin, rows in zip(
        bricks * BRICK, np.split(order, _starts(brick_of, len(bricks))), strict=True
    ):
        vertices, triangles = _march(lattice.cells[rows] - origin, values[lattice.corners[rows]])
        keys.append(_edge_key(vertices, origin, lattice.cells_per_side + 1))
        positions.append(lattice.positions(vertices.astype(np.float64) + origin))
        faces.append(triangles.astype(np.int64) + count)
        count += len(vertices)
    return _merge(np.concatenate(keys), np.concatenate(positions), np.concatenate(faces))


def _starts(brick_of: Int64[Array, "..."], bricks: int) -> Int64[Array, "..."]:
    return np.asarray(np.cumsum(np.bincount(brick_of.reshape(-1), minlength=bricks))[:-1])


def _off_the_corners(
    values: Float32[Array, " N"], corners: Int64[Array, "C 8"]
) -> Float32[Array, " N"]:
    """Return values whose magnitude is at least a tenth of the median.

    Vertices then lie well inside their edges, and an edge identifies its vertex. Without this, a
    ring of slivers, too small for normals in float32, surrounds each corner near the surface
    (smallest face of the reference head: 2e-7 with it, 3e-11 without). Vertices move by up to a
    tenth of a cell; polishing moves them back onto the surface.
    """
    least = np.float32(MIN_VALUE_SHARE * np.median(np.abs(values[corners])))
    most = np.float32(1e5) * least  # so much more would push a vertex onto the corner by rounding
    return np.asarray(
        np.where(values < 0, -1, 1) * np.clip(np.abs(values), least, most), dtype=np.float32
    )


def _march(
    cells: Int64[Array, "C 3"], values: Float32[Array, "C 8"]
) -> tuple[Float32[Array, "V 3"], Int32[Array, "F 3"]]:
    """Return vertices, in brick coordinates, and faces of cells with these corner values."""
    volume = np.ones((BRICK + 1,) * 3, dtype=np.float32)
    volume[tuple(np.moveaxis(cells[:, None] + CORNERS, -1, 0))] = values
    mask = np.zeros(volume.shape, dtype=np.bool_)
    mask[tuple((cells + 1).T)] = True  # scikit-image indexes a cell by its highest corner
    measure = require("skimage.measure", extra="export")
    vertices, faces, _, _ = measure.marching_cubes(volume, 0.0, mask=mask)
    return vertices, faces


def _edge_key(
    vertices: Float32[Array, "V 3"], origin: Int64[Array, "3"], side: int
) -> Int64[Array, " V"]:
    """Return a key of each vertex, equal in all bricks: its lattice edge or its cell."""
    lower = np.floor(vertices).astype(np.int64)
    between = vertices != lower
    axis = np.where(between.sum(axis=1) == 1, between.argmax(axis=1), 3)
    point = lower + origin
    return np.asarray(((point[:, 0] * side + point[:, 1]) * side + point[:, 2]) * 4 + axis)


def _merge(
    keys: Int64[Array, " V"], positions: Float32[Array, "V 3"], faces: Int64[Array, "F 3"]
) -> Mesh:
    """Return the mesh in which vertices of the same key are one."""
    _, first, index = np.unique(keys, return_index=True, return_inverse=True)
    return Mesh(positions[first], index.reshape(-1)[faces].astype(np.int32))
