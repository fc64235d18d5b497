"""Lids: edges around the eyes are split where blendshapes bend, and the mesh stays closed."""

from __future__ import annotations

import numpy as np
import pytest

from imavatar_deploy.exporters import lids
from imavatar_deploy.exporters.export import _reduced
from imavatar_deploy.exporters.lids import FACE_SHARE, refine_lids
from imavatar_deploy.exporters.mesh_cleanup import simplify
from imavatar_deploy.model import ImplicitAvatar, load_checkpoint
from imavatar_deploy.model.surface.extract import extract, field_of
from imavatar_deploy.model.surface.field import Field
from imavatar_deploy.model.surface.mesh import Mesh


@pytest.fixture(scope="module")
def field(avatar: ImplicitAvatar) -> Field:
    return field_of(avatar)


@pytest.fixture(scope="module")
def mesh(field: Field) -> Mesh:
    return simplify(extract(field, resolution=64), 1000)


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Split edges on the whole front of the small avatar, which has no eyes."""
    monkeypatch.setattr(lids, "REACH", 2.0)


def worst(mesh: Mesh, avatar: ImplicitAvatar) -> float:
    return float(lids._deviation(mesh, lids._edges_near_eyes(mesh, avatar), avatar).max())


@pytest.mark.usefixtures("everywhere")
class TestRefined:
    def test_blendshapes_are_straight_within_the_new_edges(
        self, mesh: Mesh, avatar: ImplicitAvatar, field: Field
    ) -> None:
        refined = refine_lids(mesh, avatar, field, None)
        assert worst(mesh, avatar) > 2 * lids.TOLERANCE
        assert worst(refined, avatar) < 0.5 * worst(mesh, avatar)

    def test_the_mesh_stays_closed_and_keeps_its_vertices(
        self, mesh: Mesh, avatar: ImplicitAvatar, field: Field
    ) -> None:
        refined = refine_lids(mesh, avatar, field, None)
        assert refined.open_edges() == mesh.open_edges() == 0
        assert len(refined.faces) - len(mesh.faces) == 2 * (
            len(refined.vertices) - len(mesh.vertices)
        )
        np.testing.assert_array_equal(refined.vertices[: len(mesh.vertices)], mesh.vertices)
        assert (refined.face_areas() > 0).all()
        assert refined.face_areas().sum() == pytest.approx(mesh.face_areas().sum(), rel=0.02)

    def test_edges_below_the_limit_stay(
        self,
        mesh: Mesh,
        avatar: ImplicitAvatar,
        field: Field,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Rounding to float16 would rotate smaller faces too far."""
        finest = len(refine_lids(mesh, avatar, field, None).faces)
        monkeypatch.setattr(lids, "MIN_EDGE", 0.15)
        refined = refine_lids(mesh, avatar, field, None)
        assert len(mesh.faces) < len(refined.faces) < finest
        monkeypatch.setattr(lids, "MIN_EDGE", 1.0)
        assert refine_lids(mesh, avatar, field, None) is mesh

    def test_new_vertices_lie_on_the_surface(
        self, mesh: Mesh, avatar: ImplicitAvatar, field: Field
    ) -> None:
        new = refine_lids(mesh, avatar, field, None).vertices[len(mesh.vertices) :]
        value, gradient = field.values_and_gradients(new, lambda count: None)
        distance = np.abs(value) / np.linalg.norm(gradient, axis=1)
        assert len(new) > 20
        assert np.percentile(distance, 95) < 0.002

    def test_a_budget_takes_the_worst_edges(
        self, mesh: Mesh, avatar: ImplicitAvatar, field: Field
    ) -> None:
        refined = refine_lids(mesh, avatar, field, len(mesh.faces) + 20)
        assert len(refined.faces) == len(mesh.faces) + 20
        assert refined.open_edges() == 0
        assert worst(refined, avatar) < worst(mesh, avatar)

    def test_an_export_keeps_its_budget_of_faces(
        self, avatar: ImplicitAvatar, field: Field
    ) -> None:
        full = extract(field, resolution=64)
        reduced, of_lids = _reduced(full, avatar, field, 1000)
        assert 0.95 * 1000 <= len(reduced.faces) <= 1000
        assert 0 < of_lids <= FACE_SHARE * 1000 + 2


def test_a_surface_without_eyes_stays(
    mesh: Mesh, avatar: ImplicitAvatar, field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lids, "REACH", 0.01)
    assert refine_lids(mesh, avatar, field, None) is mesh


def test_a_budget_that_lids_do_not_need_is_left_to_the_head(
    avatar: ImplicitAvatar, field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lids, "REACH", 0.01)
    reduced, of_lids = _reduced(extract(field, resolution=64), avatar, field, 1000)
    assert of_lids == 0
    assert 998 <= len(reduced.faces) <= 1000


def test_the_lids_of_the_sample_get_finer() -> None:
    """On a coarse extraction, where an edge bends by centimetres in a blink."""
    sample = load_checkpoint("sample")
    field = field_of(sample)
    whole = extract(field, resolution=64)
    eyes = sample.joints_rest[3:]
    near = np.linalg.norm(whole.vertices[:, None] - eyes, axis=2).min(axis=1) < 2 * lids.REACH
    patch = whole.with_faces(near[whole.faces].all(axis=1))
    refined = refine_lids(patch, sample, field, None)
    assert worst(patch, sample) > 20 * lids.TOLERANCE
    assert worst(refined, sample) < 0.3 * worst(patch, sample)
    assert len(refined.faces) > 2 * len(patch.faces)
