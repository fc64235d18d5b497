"""Codings of the web format: order of the mesh, prediction of vertex values, byte planes.

Whole numbers of a vertex are predicted by the mean of its neighbours that come earlier in the file.
The differences are small, and their bytes, ordered by significance, compress well. Every vertex is
first used by a face that shares an edge with earlier ones, because the faces are in an order for
the vertex cache of GPUs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imavatar_deploy.arrays import Array, Int32, Int64, Shaped

CACHE = 16
"""Vertices in the cache for which faces are ordered; larger caches profit as well."""


def mesh_order(faces: Int32[Array, "F 3"]) -> tuple[Int64[Array, "F 3"], Int64[Array, " U"]]:
    """Order faces for the vertex cache, and vertices by their first use.

    Returns:
        The ordered faces, which name the ordered vertices, and the old index of each of these.
        Vertices that no face uses are left out.
    """
    ordered = faces[_cache_order(faces)].astype(np.int64)
    used, first = np.unique(ordered.ravel(), return_index=True)
    vertices = used[np.argsort(first)]
    rank = np.zeros(int(faces.max(initial=0)) + 1, dtype=np.int64)
    rank[vertices] = np.arange(len(vertices))
    return rank[ordered], vertices


def _cache_order(faces: Int32[Array, "F 3"]) -> list[int]:
    """Order of the faces in which vertices are used again while they are in the cache.

    Sander, Nehab and Barczak, "Fast triangle reordering for vertex locality and reduced overdraw",
    2007. All faces around one vertex are emitted, then those around the neighbour that has been in
    the cache for longest and will stay in it.
    """
    corners = faces.ravel()
    counts = np.bincount(corners)
    first = np.concatenate([[0], np.cumsum(counts)]).tolist()
    incident = (np.argsort(corners, kind="stable") // 3).tolist()
    rows, remaining = faces.tolist(), counts.tolist()
    entered = [-CACHE - 1] * len(remaining)
    emitted = [False] * len(rows)
    order: list[int] = []
    recent: list[int] = []
    clock, cursor, centre = 0, 0, 0
    while centre < len(remaining):
        around: list[int] = []
        for face in incident[first[centre] : first[centre + 1]]:
            if emitted[face]:
                continue
            emitted[face] = True
            order.append(face)
            for vertex in rows[face]:
                around.append(vertex)
                remaining[vertex] -= 1
                if clock - entered[vertex] > CACHE:
                    entered[vertex] = clock
                    clock += 1
        recent += around
        ages = {v: clock - entered[v] for v in around if remaining[v]}
        staying = {v: age for v, age in ages.items() if age + 2 * remaining[v] <= CACHE}
        if ages:
            centre = max(staying, key=staying.__getitem__) if staying else next(iter(ages))
            continue
        while recent and not remaining[recent[-1]]:
            recent.pop()
        if recent:
            centre = recent.pop()
            continue
        while cursor < len(remaining) and not remaining[cursor]:
            cursor += 1
        centre = cursor
    return order


def face_codes(faces: Int64[Array, "F 3"]) -> Int64[Array, " N"]:
    """Distance of every index from the number of vertices before it, `[3 F]`; 0 for a new one."""
    indices = faces.ravel()
    highest = np.maximum.accumulate(np.concatenate([[-1], indices[:-1]]))
    return np.asarray(highest + 1 - indices)


def faces_of_codes(codes: Int64[Array, " N"]) -> Int64[Array, "F 3"]:
    """Inverse of `face_codes`."""
    new_before = np.concatenate([[0], np.cumsum(codes == 0)[:-1]])
    return np.asarray(new_before - codes).reshape(-1, 3)


@dataclass(frozen=True)
class EarlierNeighbours:
    """The neighbours of each vertex that come before it."""

    first: Int64[Array, " V1"]
    """`[V + 1]`: where the neighbours of each vertex begin in `index`."""
    index: Int64[Array, " N"]

    @classmethod
    def of(cls, faces: Int64[Array, "F 3"], vertices: int) -> EarlierNeighbours:
        """Return those of a mesh."""
        edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
        edges = np.sort(edges, axis=1)[:, ::-1]
        edges = np.unique(edges[edges[:, 0] > edges[:, 1]], axis=0)
        counts = np.bincount(edges[:, 0], minlength=vertices)
        return cls(np.concatenate([[0], np.cumsum(counts)]), np.ascontiguousarray(edges[:, 1]))

    def differences(self, values: Int64[Array, "C V"]) -> Int64[Array, "C V"]:
        """Return whole numbers minus their predictions."""
        sums = np.zeros((len(values), len(self.index) + 1), dtype=np.int64)
        np.cumsum(values[:, self.index], axis=1, out=sums[:, 1:])
        totals = sums[:, self.first[1:]] - sums[:, self.first[:-1]]
        counts = np.diff(self.first)
        before = np.concatenate([np.zeros_like(values[:, :1]), values[:, :-1]], axis=1)
        means = (2 * totals + counts) // np.maximum(2 * counts, 1)
        return values - np.where(counts > 0, means, before)

    def values(self, differences: Int64[Array, "C V"]) -> Int64[Array, "C V"]:
        """Inverse of `differences`."""
        rows = np.ascontiguousarray(differences.T)
        for vertex, (start, stop) in enumerate(zip(self.first[:-1], self.first[1:], strict=True)):
            if count := int(stop - start):
                total = rows[self.index[start:stop]].sum(axis=0)
                rows[vertex] += (2 * total + count) // (2 * count)
            elif vertex:
                rows[vertex] += rows[vertex - 1]
        return np.ascontiguousarray(rows.T)


def zigzag(values: Int64[Array, "*N"]) -> Int64[Array, "*N"]:
    """Map whole numbers to natural ones: 0, -1, 1, -2, 2 become 0, 1, 2, 3, 4."""
    return np.where(values >= 0, 2 * values, -2 * values - 1)


def from_zigzag(codes: Int64[Array, "*N"]) -> Int64[Array, "*N"]:
    """Inverse of `zigzag`."""
    return np.where(codes % 2 == 0, codes // 2, -(codes + 1) // 2)


def to_planes(codes: Int64[Array, "*N"]) -> tuple[bytes, int]:
    """The bytes of natural numbers, all lowest bytes first, and the number of planes, 1 to 4."""
    planes = max(1, (int(codes.max(initial=0)).bit_length() + 7) // 8)
    parts = [(codes >> 8 * plane & 255).astype(np.uint8).tobytes() for plane in range(planes)]
    return b"".join(parts), planes


def from_planes(data: Shaped[Array, " B"], planes: int) -> Int64[Array, " N"]:
    """Inverse of `to_planes`."""
    rows = data.reshape(planes, -1).astype(np.int64)
    return np.asarray(sum(row << 8 * plane for plane, row in enumerate(rows)), dtype=np.int64)
