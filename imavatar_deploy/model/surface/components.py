"""Connected parts of a mesh, and which of them a viewer can see."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.errors import unknown_name
from imavatar_deploy.optional import require

from .mesh import Mesh

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
    links = sparse.coo_matrix((np.ones(len(ends), dtype=np.bool_), tuple(ends.T)), shape=(len(mesh.vertices),) * 2)
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
