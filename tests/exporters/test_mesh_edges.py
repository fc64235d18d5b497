"""Edges of a mesh: flips and contractions remove slivers, and the surface keeps its shape."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from imavatar_deploy.exporters.mesh_edges import (
    contract_edges,
    edges_of,
    flip_edges,
    without_slivers,
)
from imavatar_deploy.model.surface.mesh import Mesh

from ..shapes import closed_sphere

SLIVER = Mesh(
    np.float32([(0, 0, 0), (1, 0, 0), (0.5, 0.01, 0), (0.5, -1, 0), (0.5, 1, 0)]),
    np.int32([(0, 1, 2), (1, 0, 3), (0, 2, 4), (2, 1, 4)]),
)


def areas(mesh: Mesh) -> NDArray[np.float64]:
    a, b, c = mesh.vertices[mesh.faces].astype(np.float64).transpose(1, 0, 2)
    return np.asarray(np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2.0)


def smallest_angle(mesh: Mesh) -> float:
    """Smallest angle of all faces, radians."""
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    sides = np.roll(corners, -1, axis=1) - corners
    sides /= np.linalg.norm(sides, axis=2, keepdims=True)
    return float(np.arccos(-(sides * np.roll(sides, 1, axis=1)).sum(axis=2)).min())


def volume(mesh: Mesh) -> float:
    a, b, c = mesh.vertices[mesh.faces].astype(np.float64).transpose(1, 0, 2)
    return float((a * np.cross(b, c)).sum() / 6.0)


def scattered(count: int) -> Mesh:
    """A sphere whose vertices are moved along it, so that many faces are slivers."""
    vertices, faces = closed_sphere(24, 32)
    moved = vertices + np.random.default_rng(count).normal(0.0, 0.004, vertices.shape)
    moved /= np.linalg.norm(moved, axis=1, keepdims=True)
    return Mesh(moved.astype(np.float32), faces)


class TestFlips:
    def test_no_sliver_is_left(self) -> None:
        mesh = flip_edges(SLIVER)
        assert areas(mesh).sum() == pytest.approx(1.0)
        assert areas(mesh).min() > 0.2

    def test_faces_elsewhere_keep_their_edges(self) -> None:
        mesh = flip_edges(SLIVER, np.arange(5) != 3)
        np.testing.assert_array_equal(mesh.faces, SLIVER.faces)

    def test_a_crease_keeps_its_edge(self) -> None:
        faces = np.int32([(0, 1, 2), (1, 0, 3)])
        flat = Mesh(np.float32([(0, 0, 0), (1, 0, 0), (0.5, 0.4, 0), (0.5, -0.4, 0)]), faces)
        bent = Mesh(np.float32([(0, 0, 0), (1, 0, 0), (0.5, 0.4, 0), (0.5, 0, -0.4)]), faces)
        assert (flip_edges(flat).faces != faces).any()
        np.testing.assert_array_equal(flip_edges(bent).faces, faces)

    @pytest.mark.parametrize("seed", range(5))
    def test_a_closed_surface_stays_closed_and_keeps_its_side(self, seed: int) -> None:
        before = scattered(seed)
        mesh = flip_edges(before)
        assert mesh.open_edges() == 0
        assert len(edges_of(mesh)) == len(edges_of(before))
        assert smallest_angle(mesh) >= smallest_angle(before)
        assert volume(mesh) == pytest.approx(volume(before), rel=0.01)


class TestContractions:
    def test_no_short_edge_is_left_where_the_surface_is_flat(self) -> None:
        vertices, faces = closed_sphere(48, 64)
        mesh = contract_edges(Mesh(vertices, faces), 0.05)
        lengths = np.linalg.norm(np.diff(mesh.vertices[edges_of(mesh)], axis=1)[:, 0], axis=1)
        before = np.linalg.norm(np.diff(vertices[edges_of(Mesh(vertices, faces))], axis=1), axis=2)
        assert before.min() < 0.01
        assert lengths.min() > 0.01
        assert mesh.open_edges() == 0
        assert len(mesh.vertices) - len(edges_of(mesh)) + len(mesh.faces) == 2
        assert volume(mesh) == pytest.approx(volume(Mesh(vertices, faces)), rel=0.01)

    def test_vertices_keep_their_positions(self) -> None:
        before = scattered(9)
        mesh = contract_edges(before, 0.05)
        assert len(mesh.vertices) < len(before.vertices)
        kept = {tuple(row) for row in before.vertices.tolist()}
        assert {tuple(row) for row in mesh.vertices.tolist()} <= kept

    def test_open_edges_stay(self) -> None:
        mesh = contract_edges(SLIVER, 2.0)
        np.testing.assert_array_equal(mesh.faces, SLIVER.faces)


def test_without_slivers_normals_bear_rounding() -> None:
    vertices, faces = closed_sphere(24, 32)
    a, b, c = corners = faces[700]
    p, q = len(vertices), len(vertices) + 1
    beside = vertices[a] + 0.01 * (vertices[corners].mean(axis=0) - vertices[a])
    within = (vertices[a] + vertices[b] + beside) / 3.0
    thin = [(a, b, q), (b, p, q), (p, a, q), (b, c, p), (c, a, p)]
    before = Mesh(
        np.concatenate([vertices, [beside, within]]).astype(np.float32),
        np.concatenate([np.delete(faces, 700, axis=0), np.int32(thin)]),
    )
    assert before.open_edges() == 0
    noise = np.random.default_rng(0).normal(0.0, 1e-4, before.vertices.shape)
    places = {tuple(row): place for place, row in enumerate(before.vertices.tolist())}

    def turned(mesh: Mesh) -> float:
        of = [places[tuple(row)] for row in mesh.vertices.tolist()]
        moved = Mesh((mesh.vertices + noise[of]).astype(np.float32), mesh.faces)
        return float(np.abs(moved.vertex_normals() - mesh.vertex_normals()).max())

    assert turned(without_slivers(before, 0.02)) < 0.2 * turned(before)
