"""Mesh: vertices and outward faces, and the questions that extraction asks of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.checks import ensure_finite, ensure_shape
from imavatar_deploy.errors import unknown_name
from imavatar_deploy.optional import require

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh in model units.

    Raises:
        InputError: wrong shapes, or a vertex that is not finite.
    """

    vertices: Float  # [V, 3]
    faces: NDArray[np.int32]  # [F, 3] counter-clockwise seen from outside

    def __post_init__(self) -> None:
        object.__setattr__(self, "vertices", np.ascontiguousarray(self.vertices, dtype=np.float32))
        object.__setattr__(self, "faces", np.ascontiguousarray(self.faces, dtype=np.int32))
        ensure_shape("mesh vertices", self.vertices, ("V", 3))
        ensure_shape("mesh faces", self.faces, ("F", 3))
        ensure_finite("mesh vertices", self.vertices)

    def face_normals(self) -> NDArray[np.float64]:
        """[F, 3] outward, as long as twice the area."""
        a, b, c = np.moveaxis(self.vertices.astype(np.float64)[self.faces], 1, 0)
        return np.asarray(np.cross(b - a, c - a))

    def face_areas(self) -> NDArray[np.float64]:
        """[F] square model units."""
        return np.asarray(np.linalg.norm(self.face_normals(), axis=1) / 2.0)

    def vertex_normals(self) -> NDArray[np.float64]:
        """[V, 3] unit, weighted by the area of the faces around each vertex."""
        total = np.zeros((len(self.vertices), 3))
        for corner in self.faces.T:
            np.add.at(total, corner, self.face_normals())
        return np.asarray(total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-30))

    def edge_length(self) -> float:
        """Mean length of an edge, model units."""
        corners = self.vertices[self.faces]
        return float(np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).mean())

    def with_faces(self, which: NDArray[np.bool_]) -> Mesh:
        """Only the faces `which`, and only the vertices they use."""
        used, faces = np.unique(self.faces[which], return_inverse=True)
        return Mesh(self.vertices[used], faces.reshape(-1, 3).astype(np.int32))

    def open_edges(self) -> int:
        """Directed edges without exactly one opposite; zero for a closed, consistently wound mesh."""
        ends = np.concatenate(
            [self.faces[:, [0, 1]], self.faces[:, [1, 2]], self.faces[:, [2, 0]]]
        ).astype(np.int64)
        forward, backward = ends @ [len(self.vertices), 1], ends @ [1, len(self.vertices)]
        keys, counts = np.unique(forward, return_counts=True)
        return int((counts > 1).sum() + (~np.isin(keys, backward)).sum())


# Connected parts of a mesh, and which of them a viewer can see.


DUST = 1e-4
"""A part of less than this share of the whole area is noise of the field (on a head: 5 mm x 5 mm all around)."""


def keep_components(mesh: Mesh, which: str = "visible") -> Mesh:
    """Only some connected parts of a mesh.

    Args:
        which: a row of `CHOICES`. `visible`, the default, keeps every solid part that is more than dust: eyeballs and
            teeth may be parts of their own. It drops cavities (inside-out parts, as between eyeball and socket): the
            head around them hides them in every pose. `largest` is what the official evaluation keeps. `all` is all.

    Raises:
        UsageError: `which` is unknown.
    """
    if which not in CHOICES:
        raise unknown_name("choice of components", which, CHOICES)
    part = part_of_face(mesh)
    areas = np.bincount(part, mesh.face_areas()).astype(np.float64)
    volumes = np.bincount(part, _signed_volumes(mesh)).astype(np.float64)
    return mesh.with_faces(CHOICES[which](areas, volumes)[part])


def part_of_face(mesh: Mesh) -> NDArray[np.intp]:
    """[F] number of the connected part each face belongs to."""
    sparse = require("scipy.sparse", extra="export")
    graph = require("scipy.sparse.csgraph", extra="export")
    ends = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]]])
    links = sparse.coo_matrix(
        (np.ones(len(ends), dtype=np.bool_), tuple(ends.T)), shape=(len(mesh.vertices),) * 2
    )
    _, of_vertex = graph.connected_components(links, directed=False)
    return np.asarray(np.unique(of_vertex[mesh.faces[:, 0]], return_inverse=True)[1])


def _signed_volumes(mesh: Mesh) -> NDArray[np.float64]:
    """[F] volume of the tetrahedron from the origin to each face; over a closed part they sum to its volume."""
    corner = mesh.vertices.astype(np.float64)[mesh.faces[:, 0]]
    return np.asarray(np.einsum("fi,fi->f", mesh.face_normals(), corner) / 6.0)


def _largest(areas: NDArray[np.float64], volumes: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray(np.arange(len(areas)) == areas.argmax())


def _visible(areas: NDArray[np.float64], volumes: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray((volumes > 0) & (areas >= DUST * areas.sum()))


def _all(areas: NDArray[np.float64], volumes: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.ones(len(areas), dtype=np.bool_)


CHOICES: dict[str, Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.bool_]]] = {
    "visible": _visible,
    "largest": _largest,
    "all": _all,
}
"""Name -> (areas, volumes) of the parts -> which are kept."""
