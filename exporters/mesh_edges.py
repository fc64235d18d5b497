"""Edges of a mesh: list, halve, flip and contract them."""

from __future__ import annotations

import numpy as np

from imavatar_deploy.arrays import Array, Bool, Float32, Float64, Int64
from imavatar_deploy.model.surface.field import Field
from imavatar_deploy.model.surface.mesh import Mesh

FLAT = 0.9
"""Least cosine between the normals of two faces after and before a flip of their edge."""


def edges_of(mesh: Mesh) -> Int64[Array, "N 2"]:
    """The edges of a mesh, smaller vertex first, in ascending order."""
    ends = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
    return np.unique(np.sort(ends.astype(np.int64), axis=1), axis=0)


def split_edges(mesh: Mesh, edges: Int64[Array, "N 2"], field: Field) -> Mesh:
    """Halve edges of a mesh; faces with one, two or three of them become two, three or four."""
    count = len(mesh.vertices)
    middles = _onto_surface(mesh.vertices[edges].mean(axis=1), mesh.vertices[edges], field)
    keys = edges[:, 0] * count + edges[:, 1]
    order = np.argsort(keys)
    a, b, c = mesh.faces.astype(np.int64).T
    ab, bc, ca = (_middle(keys, order, count, *ends) for ends in ((a, b), (b, c), (c, a)))
    pieces = []
    for turn in range(3):  # one split edge: the face turned so that it is ab
        one = (ab >= 0) & (bc < 0) & (ca < 0)
        pieces += [np.stack([a, ab, c], 1)[one], np.stack([ab, b, c], 1)[one]]
        two = (ab >= 0) & (bc >= 0) & (ca < 0)
        pieces += [
            np.stack([ab, b, bc], 1)[two],
            np.stack([a, ab, bc], 1)[two],
            np.stack([a, bc, c], 1)[two],
        ]
        if turn == 0:
            whole = (ab < 0) & (bc < 0) & (ca < 0)
            pieces.append(np.stack([a, b, c], 1)[whole])
            all_three = (ab >= 0) & (bc >= 0) & (ca >= 0)
            for triple in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)):
                pieces.append(np.stack(triple, 1)[all_three])
        a, b, c, ab, bc, ca = b, c, a, bc, ca, ab
    return Mesh(np.concatenate([mesh.vertices, middles]), np.concatenate(pieces))


def _middle(
    keys: Int64[Array, " N"],
    order: Int64[Array, " N"],
    count: int,
    start: Int64[Array, " F"],
    end: Int64[Array, " F"],
) -> Int64[Array, " F"]:
    """Index of the new vertex in the middle of an edge of each face; -1 where it is not split."""
    key = np.minimum(start, end) * count + np.maximum(start, end)
    place = np.minimum(np.searchsorted(keys, key, sorter=order), len(keys) - 1)
    found = keys[order[place]] == key
    return np.where(found, count + order[place], -1)


def _onto_surface(
    points: Float32[Array, "N 3"], ends: Float32[Array, "N 2 3"], field: Field
) -> Float32[Array, "N 3"]:
    """One Newton step onto the surface, at most a quarter of the edge long."""
    value, gradient = field.values_and_gradients(points, lambda count: None)
    step = value[:, None] * gradient / np.maximum((gradient**2).sum(axis=1, keepdims=True), 1e-12)
    limit = 0.25 * np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1, keepdims=True)
    length = np.maximum(np.linalg.norm(step, axis=1, keepdims=True), 1e-12)
    return np.asarray(points - step * np.minimum(1.0, limit / length), dtype=np.float32)


def without_slivers(mesh: Mesh, shortest: float) -> Mesh:
    """The mesh with flipped edges, and edges below a length contracted.

    A sliver turns with the slightest rounding of a displacement, and the normals around it.

    Args:
        mesh: the mesh.
        shortest: length below which an edge is contracted, model units.
    """
    return flip_edges(contract_edges(flip_edges(mesh), shortest))


def contract_edges(mesh: Mesh, shortest: float) -> Mesh:
    """Contract edges below a length, the shortest first, each to the one of its ends that is kept.

    An edge is left where its ends share other than two neighbours, which would pinch the surface,
    at open edges, and where a face would turn by more than flips may turn it.
    """
    faces = mesh.faces.astype(np.int64)
    vertices = mesh.vertices.astype(np.float64)
    edges = edges_of(mesh)
    lengths = np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1)
    remaining = np.ones(len(faces), dtype=np.bool_)
    short = np.flatnonzero(lengths < shortest)
    fans: dict[int, set[int]] = {vertex: set() for vertex in edges[short].ravel().tolist()}
    for row in np.flatnonzero(np.isin(faces, list(fans)).any(axis=1)).tolist():
        for vertex in fans.keys() & set(faces[row].tolist()):
            fans[vertex].add(row)
    for kept, dropped in edges[short[np.argsort(lengths[short], kind="stable")]].tolist():
        both = fans[kept] & fans[dropped]
        one, other = (faces[list(fans[end])] for end in (kept, dropped))
        if len(both) != 2 or len(np.intersect1d(one, other)) != 4:
            continue
        if not (_closed(one) and _closed(other)):
            continue
        moved = list(fans[dropped] - both)
        replaced = np.where(faces[moved] == dropped, kept, faces[moved])
        if _cosine(_normals(vertices, faces[moved]), _normals(vertices, replaced)).min() > FLAT:
            faces[moved] = replaced
            for vertex in fans.keys() & set(faces[list(both)].ravel().tolist()):
                fans[vertex] -= both
            fans[kept].update(moved)
            fans[dropped] = set()
            remaining[list(both)] = False
    used, faces = np.unique(faces[remaining], return_inverse=True)
    return Mesh(mesh.vertices[used], faces.reshape(-1, 3).astype(np.int32))


def _closed(fan: Int64[Array, "N 3"]) -> bool:
    """Whether the faces around a vertex close: then every other vertex of them is in two."""
    return len(np.unique(fan)) == len(fan) + 1


def flip_edges(mesh: Mesh, near: Bool[Array, " V"] | None = None) -> Mesh:
    """Flip edges whose opposite angles exceed a half turn together (Delaunay's criterion).

    A sliver turns with the slightest rounding of a displacement, and the normals around it. An edge
    is left where the surface is not flat around it, or where the new edge exists already.

    Args:
        mesh: the mesh.
        near: vertices; faces all of which they are may change. None for all.
    """
    faces = mesh.faces.astype(np.int64)
    vertices = mesh.vertices.astype(np.float64)
    for _ in range(len(faces)):
        first, second, replacement = _flips(vertices, faces, near)
        if not len(first):
            break
        faces[first], faces[second] = replacement
    return Mesh(mesh.vertices, faces.astype(np.int32))


def _flips(
    vertices: Float64[Array, "V 3"], faces: Int64[Array, "F 3"], near: Bool[Array, " V"] | None
) -> tuple[Int64[Array, " N"], Int64[Array, " N"], Int64[Array, "2 N 3"]]:
    """Flips of one round: pairs of faces that share no other flip, and those that replace them."""
    count = len(vertices)
    start, end, opposite = (np.roll(faces, -turn, axis=1).ravel() for turn in range(3))
    face = np.repeat(np.arange(len(faces)), 3)
    key = np.minimum(start, end) * count + np.maximum(start, end)
    order = np.argsort(key, kind="stable")
    edges, place, uses = np.unique(key[order], return_index=True, return_counts=True)
    place = place[uses == 2]
    one, other = order[place], order[place + 1]
    if near is not None:
        free = np.asarray(near[faces].all(axis=1))
        inside = free[face[one]] & free[face[other]]
        one, other = one[inside], other[inside]
    a, b, c, d = start[one], end[one], opposite[one], opposite[other]
    excess = _angle(vertices, c, a, b) + _angle(vertices, d, a, b) - np.pi
    new = np.minimum(c, d) * count + np.maximum(c, d)
    opposed = start[other] == b
    useful = np.flatnonzero((excess > 1e-6) & opposed & (c != d) & ~np.isin(new, edges))
    replacement = np.stack([np.stack([a, d, c], 1), np.stack([d, b, c], 1)])
    before = np.sum(
        [_normals(vertices, faces[face[half[useful]]]) for half in (one, other)], axis=0
    )
    cosine = np.min(
        [_cosine(_normals(vertices, half[useful]), before) for half in replacement], axis=0
    )
    useful = useful[cosine > FLAT]
    useful = useful[np.argsort(-excess[useful], kind="stable")]
    taken: set[tuple[str, int]] = set()
    chosen = []
    for row in useful.tolist():
        touched = {("face", face[one[row]]), ("face", face[other[row]]), ("edge", new[row])}
        if not touched & taken:
            taken |= touched
            chosen.append(row)
    return face[one[chosen]], face[other[chosen]], replacement[:, chosen]


def _angle(
    vertices: Float64[Array, "V 3"],
    at: Int64[Array, " N"],
    left: Int64[Array, " N"],
    right: Int64[Array, " N"],
) -> Float64[Array, " N"]:
    """Angles of triangles at their corners `at`, radians."""
    return np.asarray(
        np.arccos(
            np.clip(_cosine(vertices[left] - vertices[at], vertices[right] - vertices[at]), -1, 1)
        )
    )


def _cosine(one: Float64[Array, "N 3"], other: Float64[Array, "N 3"]) -> Float64[Array, " N"]:
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return np.asarray((one * other).sum(axis=1) / np.maximum(lengths, 1e-30))


def _normals(vertices: Float64[Array, "V 3"], faces: Int64[Array, "N 3"]) -> Float64[Array, "N 3"]:
    """Normals whose length is twice the area."""
    a, b, c = vertices[faces].transpose(1, 0, 2)
    return np.asarray(np.cross(b - a, c - a))
