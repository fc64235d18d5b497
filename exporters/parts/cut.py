"""Open a mesh along an outline: finer faces around it, the cut, and the rim in order."""

from __future__ import annotations

import numpy as np

from imavatar_deploy.arrays import Array, Bool, Float32, Float64, Int64
from imavatar_deploy.model.surface.field import Field
from imavatar_deploy.model.surface.mesh import Mesh

from ..mesh_edges import edges_of, flip_edges, split_edges
from .opening import Opening

NEAR = 0.02
"""Distance from an outline within which edges are split, model units (5 mm)."""

LONGEST = 0.011
"""Length from which on an edge around an outline is split, model units (2.7 mm)."""

SNAP = 0.0022
"""Distance from an outline within which a vertex moves onto it, model units (0.5 mm).

A cut beside it would leave a face that is narrower than that.
"""

FLIP_NEAR = 0.04
"""Distance from an outline within which edges are flipped, model units (1 cm)."""

HALVINGS = 30
"""Steps of the bisection that finds where an edge crosses an outline."""


def refine_around(mesh: Mesh, outline: Opening, field: Field, faces: int | None) -> Mesh:
    """Split long edges around an outline.

    Args:
        mesh: the canonical surface.
        outline: the outline.
        field: the field whose surface the mesh is.
        faces: largest number of faces; None for no limit.
    """
    while True:
        edges = edges_of(mesh)
        near = np.abs(outline.signed(mesh.vertices)) < NEAR
        edges = edges[near[edges].any(axis=1)]
        length = np.linalg.norm(np.diff(mesh.vertices[edges], axis=1)[:, 0], axis=1)
        order = np.argsort(-length, kind="stable")
        count = int((length > LONGEST).sum())
        if faces is not None:
            count = min(count, (faces - len(mesh.faces)) // 2)
        if count <= 0:
            return mesh
        mesh = split_edges(mesh, edges[order[:count]], field)


def open_along(mesh: Mesh, outline: Opening) -> tuple[Mesh, Int64[Array, " R"], Int64[Array, " W"]]:
    """Remove the surface within an outline.

    Returns:
        The mesh and the vertices of the foremost rim, in the order of its faces' edges. It is empty
        where the outline does not cross the mesh. Last, the vertex of `mesh` that each vertex was,
        ascending; new ones have larger numbers.
    """
    vertices = mesh.vertices.copy()
    signed = outline.signed(vertices)
    on_rim = np.abs(signed) < SNAP
    vertices[on_rim] = outline.nearest(vertices[on_rim])
    signed[on_rim] = 0.0
    vertices, faces, on_rim = _clip(vertices, mesh.faces.astype(np.int64), signed, outline)
    used, faces = np.unique(faces, return_inverse=True)
    opened = Mesh(vertices[used], faces.reshape(-1, 3).astype(np.int32))
    opened = flip_edges(opened, np.abs(outline.signed(opened.vertices)) < FLIP_NEAR)
    return opened, _foremost_loop(opened, on_rim[used]), used


def _clip(
    vertices: Float32[Array, "V 3"],
    faces: Int64[Array, "F 3"],
    signed: Float64[Array, " V"],
    outline: Opening,
) -> tuple[Float32[Array, "W 3"], Int64[Array, "G 3"], Bool[Array, " W"]]:
    """Faces outside an outline; those that cross it are cut. Also, which vertices lie on it."""
    side = np.sign(signed)
    of_faces = side[faces]
    mixed = (of_faces > 0).any(axis=1) & (of_faces < 0).any(axis=1)
    on = (of_faces == 0).all(axis=1)
    on[on] = outline.signed(vertices[faces[on]].mean(axis=1).astype(np.float32)) > 0
    whole = ~mixed & ((of_faces > 0).any(axis=1) | on)
    ends = np.sort(faces[mixed][:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    ends = np.unique(ends[side[ends[:, 0]] * side[ends[:, 1]] < 0], axis=0)
    crossings = {(a, b): len(vertices) + row for row, (a, b) in enumerate(ends.tolist())}
    pieces = [piece for face in faces[mixed].tolist() for piece in _outside(face, side, crossings)]
    new = _crossings(vertices, ends, outline)
    on_rim = np.concatenate([side == 0, np.ones(len(new), dtype=np.bool_)])
    cut = np.asarray(pieces, dtype=np.int64).reshape(-1, 3)
    return np.concatenate([vertices, new]), np.concatenate([faces[whole], cut]), on_rim


def _outside(
    face: list[int], side: Float64[Array, " V"], crossings: dict[tuple[int, int], int]
) -> list[list[int]]:
    """Triangles of the part of a face that lies outside."""
    polygon = []
    for start, end in zip(face, [*face[1:], face[0]], strict=True):
        if side[start] >= 0:
            polygon.append(start)
        if side[start] * side[end] < 0:
            polygon.append(crossings[min(start, end), max(start, end)])
    return [[polygon[0], *polygon[k : k + 2]] for k in range(1, len(polygon) - 1)]


def _crossings(
    vertices: Float32[Array, "V 3"], ends: Int64[Array, "N 2"], outline: Opening
) -> Float32[Array, "N 3"]:
    """Points at which edges cross an outline, by bisection."""
    first, second = vertices[ends[:, 0]], vertices[ends[:, 1]]
    sign = np.sign(outline.signed(first))
    low, high = np.zeros(len(ends)), np.ones(len(ends))
    for _ in range(HALVINGS):
        middle = (low + high) / 2.0
        point = first + middle[:, None].astype(np.float32) * (second - first)
        before = np.sign(outline.signed(point)) == sign
        low, high = np.where(before, middle, low), np.where(before, high, middle)
    return np.asarray(first + low[:, None].astype(np.float32) * (second - first))


def _foremost_loop(mesh: Mesh, on_rim: Bool[Array, " V"]) -> Int64[Array, " R"]:
    """The closed chain of open edges on a rim whose vertices lie in front of those of others."""
    faces = mesh.faces.astype(np.int64)
    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    count = len(mesh.vertices)
    is_open = ~np.isin(ends @ [count, 1], ends @ [1, count])
    following = {a: b for a, b in ends[is_open].tolist() if on_rim[a] and on_rim[b]}
    loops = []
    while following:
        loop = [start := next(iter(following))]
        while (after := following.pop(loop[-1], None)) is not None and after != start:
            loop.append(after)
        if after == start and len(loop) > 2:
            loops.append(np.asarray(loop, dtype=np.int64))
    if not loops:
        return np.zeros(0, dtype=np.int64)
    return max(loops, key=lambda loop: float(mesh.vertices[loop, 2].mean()) + 1e-4 * len(loop))
