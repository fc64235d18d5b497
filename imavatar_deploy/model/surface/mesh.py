"""Mesh: a triangle mesh with its normals, areas and connected parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.arrays import Array, Bool, Float64, Integer
from imavatar_deploy.checks import ensure_finite, ensure_shape
from imavatar_deploy.errors import unknown_name
from imavatar_deploy.optional import require


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh in model units.

    Raises:
        InputError: a shape is wrong, or a vertex is not finite.
    """

    # The constructor converts both arrays to these types.
    vertices: NDArray[np.float32]  # [V, 3]
    faces: NDArray[np.int32]  # [F, 3] counter-clockwise from outside

    def __post_init__(self) -> None:
        object.__setattr__(self, "vertices", np.ascontiguousarray(self.vertices, dtype=np.float32))
        object.__setattr__(self, "faces", np.ascontiguousarray(self.faces, dtype=np.int32))
        ensure_shape("mesh vertices", self.vertices, ("V", 3))
        ensure_shape("mesh faces", self.faces, ("F", 3))
        ensure_finite("mesh vertices", self.vertices)

    def face_normals(self) -> Float64[Array, "F 3"]:
        """Return the outward normals, as long as twice the area of each face."""
        a, b, c = np.moveaxis(self.vertices.astype(np.float64)[self.faces], 1, 0)
        return np.asarray(np.cross(b - a, c - a))

    def face_areas(self) -> Float64[Array, " F"]:
        """Return the areas in square model units."""
        return np.asarray(np.linalg.norm(self.face_normals(), axis=1) / 2.0)

    def vertex_normals(self) -> Float64[Array, "V 3"]:
        """Return the unit normals, means of the adjacent faces weighted by area."""
        total = np.zeros((len(self.vertices), 3))
        for corner in self.faces.T:
            np.add.at(total, corner, self.face_normals())
        return np.asarray(total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-30))

    def edge_length(self) -> float:
        """Return the mean length of the edges, model units."""
        corners = self.vertices[self.faces]
        return float(np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).mean())

    def with_faces(self, which: Bool[Array, " F"]) -> Mesh:
        """Return the mesh of the faces in a mask and the vertices they use."""
        used, faces = np.unique(self.faces[which], return_inverse=True)
        return Mesh(self.vertices[used], faces.reshape(-1, 3).astype(np.int32))

    def open_edges(self) -> int:
        """Count directed edges without exactly one opposite; zero for a closed, oriented mesh."""
        ends = np.concatenate(
            [self.faces[:, [0, 1]], self.faces[:, [1, 2]], self.faces[:, [2, 0]]]
        ).astype(np.int64)
        forward = ends @ [len(self.vertices), 1]
        backward = ends @ [1, len(self.vertices)]
        keys, counts = np.unique(forward, return_counts=True)
        return int((counts > 1).sum() + (~np.isin(keys, backward)).sum())


# Connected parts


DUST_SHARE = 1e-4
"""Share of the whole area below which a part is noise (on a head: 5 mm x 5 mm)."""


def keep_components(mesh: Mesh, which: str = "visible") -> Mesh:
    """Keep some connected parts of a mesh.

    Args:
        mesh: the mesh.
        which: a key of `CHOICES`. `visible` keeps the solid parts above `DUST_SHARE`, such as the
            head, eyeballs and teeth. It drops cavities, which are inside-out parts that the head
            hides in every pose, as between eyeball and socket. `largest` keeps one part, as the
            official evaluation does. `all` keeps every part.

    Raises:
        UsageError: `which` is unknown.
    """
    if which not in CHOICES:
        raise unknown_name("choice of components", which, CHOICES)
    part = part_of_face(mesh)
    areas = np.bincount(part, mesh.face_areas()).astype(np.float64)
    volumes = np.bincount(part, _signed_volumes(mesh)).astype(np.float64)
    return mesh.with_faces(CHOICES[which](areas, volumes)[part])


def part_of_face(mesh: Mesh) -> Integer[Array, " F"]:
    """Return the index of the connected part of each face."""
    sparse = require("scipy.sparse", extra="export")
    graph = require("scipy.sparse.csgraph", extra="export")
    ends = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]]])
    links = sparse.coo_matrix(
        (np.ones(len(ends), dtype=np.bool_), tuple(ends.T)), shape=(len(mesh.vertices),) * 2
    )
    _, of_vertex = graph.connected_components(links, directed=False)
    return np.asarray(np.unique(of_vertex[mesh.faces[:, 0]], return_inverse=True)[1])


def _signed_volumes(mesh: Mesh) -> Float64[Array, " F"]:
    """Return the volume of the tetrahedron from the origin to each face.

    The sum over a closed part is its volume.
    """
    corner = mesh.vertices.astype(np.float64)[mesh.faces[:, 0]]
    return np.asarray(np.einsum("fi,fi->f", mesh.face_normals(), corner) / 6.0)


def _largest(areas: Float64[Array, " C"], volumes: Float64[Array, " C"]) -> Bool[Array, " C"]:
    return np.asarray(np.arange(len(areas)) == areas.argmax())


def _visible(areas: Float64[Array, " C"], volumes: Float64[Array, " C"]) -> Bool[Array, " C"]:
    return np.asarray((volumes > 0) & (areas >= DUST_SHARE * areas.sum()))


def _all(areas: Float64[Array, " C"], volumes: Float64[Array, " C"]) -> Bool[Array, " C"]:
    return np.ones(len(areas), dtype=np.bool_)


CHOICES: dict[str, Callable[[Float64[Array, " C"], Float64[Array, " C"]], Bool[Array, " C"]]] = {
    "visible": _visible,
    "largest": _largest,
    "all": _all,
}
"""Name -> function from the areas and volumes of the parts to a mask of those to keep."""
