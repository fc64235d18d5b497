"""Quadric decimation to a face budget."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from imavatar_deploy.errors import UsageError
from imavatar_deploy.exporters.mesh_cleanup import polish, simplify
from imavatar_deploy.model.surface.extract import extract
from imavatar_deploy.model.surface.field import Field
from imavatar_deploy.model.surface.mesh import Mesh

from ..shapes import spheres, torus


@pytest.fixture(scope="module")
def full() -> Mesh:
    mesh, _ = polish(extract(Field(torus), resolution=64), Field(torus))
    return mesh


@pytest.mark.parametrize("budget", [3000, 801, 150])
def test_keeps_the_budget_the_winding_and_the_topology(full: Mesh, budget: int) -> None:
    mesh = simplify(full, budget)
    assert 0.95 * budget <= len(mesh.faces) <= budget
    assert mesh.open_edges() == 0
    assert len(mesh.vertices) - len(mesh.faces) // 2 == 0  # Euler characteristic of a torus
    assert mesh.face_areas().min() > 0
    ring = mesh.vertices * [1, 0, 1]
    outward = mesh.vertices - 0.6 * ring / np.linalg.norm(ring, axis=1, keepdims=True)
    assert (np.einsum("vi,vi->v", mesh.vertex_normals(), outward) > 0).all()


def test_stays_near_the_full_mesh(full: Mesh) -> None:
    distance, _ = cKDTree(full.vertices).query(simplify(full, 2000).vertices)
    assert distance.max() < full.edge_length()


def test_every_part_survives() -> None:
    """The smallest of three spheres is 1/200 of the area."""
    mesh = simplify(extract(Field(spheres), resolution=128), 1000)
    assert mesh.vertices[:, 0].min() < -0.69
    assert mesh.vertices[:, 0].max() > 0.97


def test_a_mesh_within_the_budget_stays_as_it_is(full: Mesh) -> None:
    assert simplify(full, len(full.faces)) is full


def test_a_budget_that_is_too_small_is_refused(full: Mesh) -> None:
    with pytest.raises(UsageError, match="at least 100, got 7"):
        simplify(full, 7)
