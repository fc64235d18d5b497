"""The point of OpenHead's surface under every landmark, from landmarks seen in many renders.

A landmark lies at the point that is nearest to it in all images together: the surface is sampled
around a first estimate, the pixel that the landmark hits, and every sample is projected into every
render. An average of the pixels would be biased at the rims of lids and lips, where a landmark that
is seen just beyond the rim has no skin under it. Both halves of the face are solved together, so
the table is symmetric.
"""

from __future__ import annotations

from dataclasses import dataclass

import igl
import numpy as np
from landmark_renders import SIZE, RenderedHead
from numpy.typing import NDArray

from imavatar_deploy.conventions import BONES, UNITS_PER_METRE
from imavatar_deploy.head_fit.landmark_groups import LEFT_IRIS, MIRROR, OVAL, RIGHT_IRIS
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.rendering.rasteriser import Rasteriser
from imavatar_deploy.rendering.workers import Workers

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FACE = 468
"""Landmarks that lie on the skin; those of the irises follow."""

OVAL_YAW = 9.0
"""Degrees within which a view shows both sides of the face's outline. At larger angles the points
of the far side slide along the silhouette."""
OPEN = 0.05
"""Opening of the jaw from which the lips are told apart, radians."""
MIN_COSINE = 0.3
"""Smallest cosine between the view and the normal where a point counts as visible."""
MIN_VIEWS = 10
"""A point that fewer views show is solved on all of them."""

MOUTH = ((0.12, -0.30, -0.165), (0.085, -0.30, -0.165))
"""Largest distance from the middle, lowest and highest place: of landmarks that are read from open
mouths alone, and of those among them that belong to one lip; model units."""
LIP_MAJORITY = 0.7
"""Share of the views in which a landmark hits a lip from which it belongs to it."""

FRONT = (-0.12, -0.5)
"""Lowest z and y of triangles that may carry landmarks, model units."""
REACH = 0.07
"""Distance from the first estimate within which the surface is sampled, model units."""
COARSE = 3
"""Samples along a triangle's edge in the first pass."""
FINE = 16
"""Samples along the edge of the best triangles in the second."""
BEST = 12
"""Number of the best samples whose triangles are sampled finely."""
HUBER = 2.0
"""Residual in millimetres from which the cost grows linearly."""

MILLIMETRES = 1000.0 / UNITS_PER_METRE


@dataclass(frozen=True)
class Table:
    """Points on OpenHead: triangle, barycentric weights, and spread over renders in metres."""

    triangles: Ints  # [478]
    barycentric: Floats  # [478, 3]
    spread: Floats  # [478]


class LandmarkSolver:
    """Finds the points under landmarks.

    Args:
        renders: N renders.
        landmarks: `[N, 478, 2]` columns and rows of the landmarks in them.
    """

    def __init__(self, renders: list[RenderedHead], landmarks: Floats, workers: Workers) -> None:
        self.head = HeadModel.load("openhead")
        self.faces = self.head.faces.astype(np.int64)
        self.template = UNITS_PER_METRE * self.head.template.astype(np.float64)
        self._renders = renders
        self._landmarks = landmarks
        vertices = np.stack([render.vertices for render in renders]).astype(np.float64)
        matrices = np.stack([render.matrix for render in renders]).astype(np.float64)
        ones = np.ones((*vertices.shape[:2], 1))
        homogeneous = np.concatenate([vertices, ones], axis=2)
        self._projected = np.einsum("nij,nvj->nvi", matrices, homogeneous)
        self._posed = vertices
        self._cameras = np.array([-np.linalg.solve(m[:, :3], m[:, 3]) for m in matrices])
        nose = int(self.template[:, 2].argmax())
        self._focal = np.abs(matrices[:, 0, 0])
        self._scale = MILLIMETRES * self._projected[:, nose, 2] / self._focal
        self._yaw = np.array([abs(render.yaw) for render in renders])
        self._open = np.array([render.opening > OPEN for render in renders])
        self._mirror = self._mirrored_vertices()
        self._jaw = self.head.weights[self.faces, BONES.index("jaw")].mean(axis=1)
        self._centroids = self.template[self.faces].mean(axis=1)
        skin = (np.array(self.head.vertex_groups) == "body")[self.faces].all(axis=1)
        self._skin = skin & (self._centroids[:, 2] > FRONT[0]) & (self._centroids[:, 1] > FRONT[1])
        self._hits = self._first_hits(workers)

    def solve(self) -> Table:
        """Return the points of all landmarks."""
        triangles = np.zeros(len(MIRROR), dtype=np.int64)
        barycentric = np.zeros((len(MIRROR), 3))
        for landmark in range(FACE):
            other = int(MIRROR[landmark])
            if landmark <= other:
                point, allowed = self._solve_pair(landmark, other)
                for index, place in ((landmark, point), (other, point * [-1, 1, 1])):
                    triangles[index], barycentric[index] = self._snap(place, allowed)
        for eye, iris in (("eyeR", RIGHT_IRIS), ("eyeL", LEFT_IRIS)):
            triangles[list(iris)], barycentric[list(iris)] = self._iris(BONES.index(eye), iris)
        return Table(triangles, barycentric, self._spread(triangles, barycentric))

    def errors(self, triangles: Ints, barycentric: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """Return distances in pixels `[N, L]` from the landmarks, and which points are visible."""
        points = np.einsum("lk,nlkc->nlc", barycentric, self._projected[:, self.faces[triangles]])
        offset = points[..., :2] / points[..., 2:] - self._landmarks[:, : len(triangles)]
        return np.linalg.norm(offset, axis=2), self._cosines(self.faces[triangles]) > MIN_COSINE

    def _mirrored_vertices(self) -> Ints:
        """The vertex on the other side of each; the template is symmetric."""
        mirrored = self.template * [-1, 1, 1]
        return np.array(
            [np.square(self.template - point).sum(axis=1).argmin() for point in mirrored]
        )

    def _first_hits(self, workers: Workers) -> Floats:
        """Places on the template `[N, 468, 3]` of the pixels that landmarks hit, and NaN."""
        rasteriser = Rasteriser(self.head.faces, SIZE, SIZE, workers)
        places = np.full((len(self._renders), FACE, 3), np.nan)
        for render, pixels, place in zip(self._renders, self._landmarks, places, strict=True):
            fragments = rasteriser.draw(render.vertices, render.matrix)
            column, row = np.clip(np.round(pixels[:FACE]).astype(int), 0, SIZE - 1).T
            triangle = fragments.triangle[row, column]
            hit = (triangle >= 0) & self._skin[triangle]
            corners = self.template[self.faces[triangle[hit]]]
            weights = fragments.barycentrics[row, column][hit]
            place[hit] = np.einsum("lk,lkc->lc", weights, corners)
        return places

    def _solve_pair(self, landmark: int, other: int) -> tuple[Floats, NDArray[np.bool_]]:
        """Place of a landmark on the template, and the triangles on which it may lie."""
        views, start, allowed = self._first_estimate(landmark, other)
        near = np.flatnonzero(allowed & (np.linalg.norm(self._centroids - start, axis=1) < REACH))
        first = near[[np.linalg.norm(self._centroids[near] - start, axis=1).argmin()]]
        sides = []
        mirrored = self._mirror[self.faces]
        for index, vertices, outside in (
            (landmark, self.faces, self.faces[first]),
            (other, mirrored, mirrored[first][:, ::-1]),
        ):
            visible = self._cosines(outside)[:, 0] > MIN_COSINE
            visible = visible | views if landmark in OVAL else visible & views
            if visible.sum() < MIN_VIEWS:
                visible = views
            sides.append((index, np.flatnonzero(visible), vertices))
        triangle, weights = _samples(near, COARSE)
        order = np.argsort(self._cost(sides, triangle, weights), kind="stable")
        triangle, weights = _samples(np.unique(triangle[order[:BEST]]), FINE)
        best = self._cost(sides, triangle, weights).argmin()
        place = weights[best] @ self.template[self.faces[triangle[best]]]
        return (place * [0, 1, 1] if landmark == other else place), allowed

    def _first_estimate(
        self, landmark: int, other: int
    ) -> tuple[NDArray[np.bool_], Floats, NDArray[np.bool_]]:
        """Views that show a landmark, its median place, and the triangles on which it may lie."""
        views = self._yaw < OVAL_YAW if landmark in OVAL else np.ones(len(self._yaw), dtype=bool)
        places = np.stack([self._hits[:, landmark], self._hits[:, other] * [-1, 1, 1]])
        start = np.nanmedian(places[:, views], axis=(0, 1))
        allowed = self._skin.copy()
        if _within(start, MOUTH[0]):
            views = views & self._open
            start = np.nanmedian(places[:, views], axis=(0, 1))
        if _within(start, MOUTH[1]):
            hits = places[:, views]
            hits = hits[np.isfinite(hits[..., 0])]
            lower = self._on_jaw(hits).mean()
            if lower > LIP_MAJORITY:
                allowed &= self._jaw >= 0.5
            elif lower < 1 - LIP_MAJORITY:
                allowed &= self._jaw < 0.5
        return views, start, allowed

    def _on_jaw(self, places: Floats) -> NDArray[np.bool_]:
        _, triangle, _ = igl.point_mesh_squared_distance(places, self.template, self.faces)
        return np.asarray(self._jaw[triangle] >= 0.5)

    def _cost(self, sides: list[tuple[int, Ints, Ints]], triangle: Ints, weights: Floats) -> Floats:
        """Mean Huber loss of samples' distances from a landmark and its mirror image, mm."""
        losses = []
        for landmark, views, vertices in sides:
            points = np.einsum(
                "sk,nskc->nsc", weights, self._projected[views][:, vertices[triangle]]
            )
            offset = points[..., :2] / points[..., 2:] - self._landmarks[views, landmark, None]
            distance = np.linalg.norm(offset, axis=2) * self._scale[views, None]
            losses.append(
                np.where(distance < HUBER, distance**2 / (2 * HUBER), distance - HUBER / 2)
            )
        return np.asarray(np.concatenate(losses).mean(axis=0))

    def _cosines(self, corners: Ints) -> Floats:
        """Cosines `[N, L]` between the normals of posed triangles and the views of them."""
        a, b, c = (self._posed[:, corners[:, corner]] for corner in range(3))
        normal = np.cross(b - a, c - a)
        view = self._cameras[:, None] - (a + b + c) / 3
        lengths = np.linalg.norm(normal, axis=2) * np.linalg.norm(view, axis=2)
        return np.asarray((normal * view).sum(axis=2) / np.maximum(lengths, 1e-12))

    def _snap(self, place: Floats, allowed: NDArray[np.bool_]) -> tuple[int, Floats]:
        """Nearest point on those triangles: its triangle and barycentric weights."""
        own = np.flatnonzero(allowed)
        _, nearest, point = igl.point_mesh_squared_distance(
            place[None], self.template, self.faces[own]
        )
        triangle = int(own[int(np.ravel(nearest)[0])])
        return triangle, _weights(np.ravel(point), self.template[self.faces[triangle]])

    def _iris(self, bone: int, iris: tuple[int, ...]) -> tuple[Ints, Floats]:
        """Points of an iris: where the axis of the eye leaves the eyeball, and around it."""
        own = self.head.weights[self.faces, bone].min(axis=1) > 0.5
        centre = UNITS_PER_METRE * (self.head.joint_regressor @ self.head.template)[bone]
        radius = self._iris_radius()
        eye = self.template[self.faces[own]].reshape(-1, 3) - centre
        depth = np.sqrt((eye**2).sum(axis=1).mean() - radius**2)
        points = [self._snap(centre + np.array([0, 0, eye[:, 2].max()]), own)]
        for x, y in ((1, 0), (0, 1), (-1, 0), (0, -1)):
            offset = np.array([radius * x, radius * y, depth])
            points.append(self._snap(centre + offset, own))
        triangles, weights = zip(*points, strict=True)
        return np.array(triangles), np.array(weights)

    def _iris_radius(self) -> float:
        """Median distance of the border of the irises from their centres, model units."""
        radii = []
        for bone, iris in (("eyeR", RIGHT_IRIS), ("eyeL", LEFT_IRIS)):
            vertex = int(self.head.weights[:, BONES.index(bone)].argmax())
            centre, *border = (self._landmarks[:, index] for index in iris)
            pixels = np.linalg.norm(np.stack(border) - centre, axis=2).mean(axis=0)
            depth = self._projected[:, vertex, 2]
            radii.append((pixels * depth / self._focal)[self._yaw < OVAL_YAW])
        return float(np.median(np.concatenate(radii)))

    def _spread(self, triangles: Ints, barycentric: Floats) -> Floats:
        """Root mean square of the distances from each landmark where it is visible, metres."""
        errors, visible = self.errors(triangles, barycentric)
        visible |= visible.sum(axis=0) < MIN_VIEWS
        squares = (errors * self._scale[:, None] / 1000.0) ** 2
        spread = np.sqrt((squares * visible).sum(axis=0) / visible.sum(axis=0))
        return np.asarray((spread + spread[MIRROR]) / 2)


def _samples(triangles: Ints, edge: int) -> tuple[Ints, Floats]:
    """Triangle and barycentric weights of a lattice of samples on each triangle."""
    steps = [(i, j, edge - i - j) for i in range(edge + 1) for j in range(edge + 1 - i)]
    weights = np.array(steps, dtype=np.float64) / edge
    return np.repeat(triangles, len(weights)), np.tile(weights, (len(triangles), 1))


def _within(place: Floats, box: tuple[float, float, float]) -> bool:
    return bool(abs(place[0]) < box[0] and box[1] < place[1] < box[2])


def _weights(point: Floats, corners: Floats) -> Floats:
    """Barycentric weights of a point on a triangle."""
    a, b, c = (np.ascontiguousarray(corner[None]) for corner in corners)
    weights = np.clip(igl.barycentric_coordinates(point[None], a, b, c)[0], 0.0, 1.0)
    return np.asarray(weights / weights.sum())
