"""The point of a triangle mesh nearest to a query point, in plain numpy."""

from __future__ import annotations

import numpy as np

from imavatar_deploy.arrays import Array, Bool, Float64, Int64, Integer

CANDIDATES = 3
"""Vertices nearest to a query whose triangles are searched; two or three nearly always suffice."""


class NearestPoint:
    """Nearest points on a mesh.

    The triangles around the nearest vertices are searched. The result is exact where triangles are
    of similar size, as on faces of head models.

    Args:
        vertices: `[V, 3]`.
        faces: those triangles on which points may lie.
        normal_weight: distance that two opposite normals count as; 0 ignores the normals.
    """

    def __init__(
        self,
        vertices: Float64[Array, "V 3"],
        faces: Integer[Array, "F 3"],
        normal_weight: float = 0.0,
    ) -> None:
        self.vertices = vertices
        self.faces = faces.astype(np.int64)
        self._normal_weight = normal_weight / 2
        self.normals = vertex_normals(vertices, self.faces)
        self._used = np.unique(self.faces)
        self._features = self._feature(vertices, self.normals)[self._used]
        self._around = _incident_faces(self.faces, len(vertices))[self._used]
        self.boundary = _boundary_vertices(self.faces, len(vertices))

    def __call__(
        self, points: Float64[Array, "N 3"], normals: Float64[Array, "N 3"] | None = None
    ) -> tuple[Int64[Array, " N"], Float64[Array, "N 3"]]:
        """Return the triangle (an index into `faces`) and the barycentric weights of each point.

        Args:
            points: `[N, 3]`.
            normals: at the points; needed where the normals have a weight.
        """
        query = self._feature(points, np.zeros_like(points) if normals is None else normals)
        squares = (self._features**2).sum(axis=1) - 2 * query @ self._features.T
        count = min(CANDIDATES, len(self._used))
        nearest = np.argpartition(squares, count - 1, axis=1)[:, :count]
        triangles = self._around[nearest].reshape(len(points), -1)
        weights, distances = closest_on_triangles(
            points[:, None], self.vertices[self.faces[triangles]]
        )
        if self._normal_weight and normals is not None:
            at = np.einsum("nmk,nmkc->nmc", weights, self.normals[self.faces[triangles]])
            turned = np.square(at - normals[:, None]).sum(axis=2) * self._normal_weight**2
            distances = np.sqrt(distances**2 + turned)
        best = np.where(triangles >= 0, distances, np.inf).argmin(axis=1)
        row = np.arange(len(points))
        return triangles[row, best], weights[row, best]

    def at(
        self,
        values: Float64[Array, "V C"],
        triangles: Int64[Array, " N"],
        weights: Float64[Array, "N 3"],
    ) -> Float64[Array, "N C"]:
        """Interpolate values of the vertices at points on the mesh."""
        return np.asarray(np.einsum("nk,nkc->nc", weights, values[self.faces[triangles]]))

    def _feature(
        self, points: Float64[Array, "N 3"], normals: Float64[Array, "N 3"]
    ) -> Float64[Array, "N 6"]:
        return np.concatenate([points, self._normal_weight * normals], axis=1)


def vertex_normals(
    vertices: Float64[Array, "V 3"], faces: Integer[Array, "F 3"]
) -> Float64[Array, "V 3"]:
    """Return area-weighted unit normals; zero where a vertex has no face."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    cross = np.cross(b - a, c - a)
    columns = [
        np.bincount(faces.ravel(), np.repeat(cross[:, axis], 3), len(vertices)) for axis in range(3)
    ]
    sums = np.stack(columns, axis=1)
    return np.asarray(sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-30))


def closest_on_triangles(
    points: Float64[Array, "N _ 3"], corners: Float64[Array, "N M 3 3"]
) -> tuple[Float64[Array, "N M 3"], Float64[Array, "N M"]]:
    """Return barycentric weights of the points of triangles nearest to queries, and distances.

    It is the projection to the plane where that lies inside the triangle, otherwise the nearest
    point of the three edges.

    Args:
        points: `[N, 1, 3]` or `[N, M, 3]`.
        corners: `[N, M, 3, 3]`.
    """
    a, b, c = corners[..., 0, :], corners[..., 1, :], corners[..., 2, :]
    ab, ac, ap = b - a, c - a, points - a
    d00, d01, d11 = (ab * ab).sum(-1), (ab * ac).sum(-1), (ac * ac).sum(-1)
    d20, d21 = (ap * ab).sum(-1), (ap * ac).sum(-1)
    area = np.maximum(d00 * d11 - d01 * d01, 1e-300)
    v = (d11 * d20 - d01 * d21) / area
    w = (d00 * d21 - d01 * d20) / area
    inside = (v >= 0) & (w >= 0) & (v + w <= 1)
    options = [np.stack([1 - v - w, v, w], axis=-1)]
    for first, second in ((0, 1), (1, 2), (2, 0)):
        edge = corners[..., second, :] - corners[..., first, :]
        length = np.maximum((edge * edge).sum(-1), 1e-300)
        t = np.clip(((points - corners[..., first, :]) * edge).sum(-1) / length, 0.0, 1.0)
        option = np.zeros_like(options[0])
        option[..., first] = 1 - t
        option[..., second] = t
        options.append(option)
    weights = np.stack(options)
    offsets = np.einsum("onmk,nmkc->onmc", weights, corners) - points
    distances = np.linalg.norm(offsets, axis=-1)
    distances[0] = np.where(inside, distances[0], np.inf)
    best = distances.argmin(axis=0)[None]
    return (
        np.take_along_axis(weights, best[..., None], axis=0)[0],
        np.take_along_axis(distances, best, axis=0)[0],
    )


def _incident_faces(faces: Int64[Array, "F 3"], count: int) -> Int64[Array, "V D"]:
    """Triangles around each vertex, padded with -1."""
    corners = faces.ravel()
    order = np.argsort(corners, kind="stable")
    valence = np.bincount(corners, minlength=count)
    first = np.concatenate([[0], np.cumsum(valence)[:-1]])
    table = np.full((count, max(int(valence.max(initial=0)), 1)), -1, dtype=np.int64)
    place = np.arange(len(order)) - first[corners[order]]
    table[corners[order], place] = order // 3
    return table


def _boundary_vertices(faces: Int64[Array, "F 3"], count: int) -> Bool[Array, " V"]:
    """Whether each vertex lies on an edge of one face alone."""
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    unique, uses = np.unique(edges, axis=0, return_counts=True)
    boundary = np.zeros(count, dtype=bool)
    boundary[unique[uses == 1].ravel()] = True
    return boundary
