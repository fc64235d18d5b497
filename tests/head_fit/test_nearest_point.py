"""Nearest points on a mesh: compared with libigl."""

from __future__ import annotations

import igl
import numpy as np

from imavatar_deploy.head_fit.nearest_point import NearestPoint
from imavatar_deploy.head_model import HeadModel


def test_distances_are_those_of_libigl(openhead: HeadModel) -> None:
    faces = openhead.faces[(np.array(openhead.vertex_groups) == "body")[openhead.faces].all(axis=1)]
    vertices = openhead.template.astype(np.float64)
    rng = np.random.default_rng(0)
    front = np.flatnonzero((vertices[:, 2] > 0.05) & (vertices[:, 1] > -0.1))
    queries = vertices[rng.choice(front, 300)] + 0.003 * rng.normal(size=(300, 3))
    surface = NearestPoint(vertices, faces)
    triangles, weights = surface(queries)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=1e-9)
    assert weights.min() >= 0.0
    distance = np.linalg.norm(surface.at(vertices, triangles, weights) - queries, axis=1)
    squared, _, _ = igl.point_mesh_squared_distance(queries, vertices, faces)
    assert (distance >= np.sqrt(squared) - 1e-9).all()
    assert np.mean(distance > np.sqrt(squared) + 1e-6) < 0.02


def test_vertices_on_the_rim_are_known() -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]], dtype=float)
    faces = np.array([[0, 1, 2], [0, 2, 3], [0, 3, 4], [0, 4, 1]])
    assert NearestPoint(vertices, faces).boundary.tolist() == [False, True, True, True, True]
