"""What no camera saw: which vertices that is, how they are filled, and where the bust is cut."""

from __future__ import annotations

from dataclasses import replace

import igl
import numpy as np
import pytest
import torch

from imavatar_deploy.arrays import Array, Bool, Float32, Float64, Integer
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.camera import Camera
from imavatar_deploy.exporters.bake import Bake, bake
from imavatar_deploy.exporters.bust import Bounds, CutField, clipped, picture_bounds
from imavatar_deploy.exporters.fidelity.golden_cases import golden_cases
from imavatar_deploy.exporters.formats.onnx_modules import BakedTexture
from imavatar_deploy.exporters.mesh_cleanup import canonical_points, polish
from imavatar_deploy.exporters.skeleton import rest_normals
from imavatar_deploy.exporters.student.training_set import validation_samples
from imavatar_deploy.exporters.surface_colours import point_colours, vertex_colours
from imavatar_deploy.exporters.unseen import (
    MAX_VIEWS,
    TrainingViews,
    UnseenSurface,
    assumed_views,
    unseen_notes,
    unseen_surface,
    views_of,
)
from imavatar_deploy.exporters.unseen_fill import HarmonicFill, head_shape
from imavatar_deploy.exporters.unseen_options import UnseenSettings
from imavatar_deploy.fidelity.golden import golden_rows
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.model import ImplicitAvatar
from imavatar_deploy.model.surface.extract import extract, field_of
from imavatar_deploy.model.surface.mesh import Mesh
from imavatar_deploy.progress import silent
from imavatar_deploy.tracks import read_track

from ..shapes import closed_sphere
from ..tiny_avatar import tiny_avatar


def sphere(rings: int = 24, sectors: int = 32) -> Mesh:
    return Mesh(*closed_sphere(rings, sectors))


def behind(mesh: Mesh, z: float = -0.2) -> Bool[Array, " V"]:
    return np.asarray(mesh.vertices[:, 2] < z)


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return HeadModel.load("openhead")


class TestVisibility:
    def test_a_view_from_the_front_shows_the_front(self) -> None:
        avatar = tiny_avatar(24, 32)
        camera = Camera.looking_at(np.zeros(3), extent=2.0)
        views = TrainingViews(
            np.zeros((1, 50), np.float32), np.zeros((1, 15), np.float32), (camera,)
        )
        unseen = unseen_surface(avatar, views).colours
        z = avatar.canonical[2]
        assert unseen[z < -0.05].all()
        assert not unseen[z > 0.2].any()

    def test_turning_the_head_shows_its_sides(self) -> None:
        avatar = tiny_avatar(24, 32)
        views = assumed_views(avatar)
        straight = TrainingViews(views.expression[:1] * 0, views.pose[:1] * 0, views.cameras[:1])
        turned, still = (
            unseen_surface(avatar, views).colours,
            unseen_surface(avatar, straight).colours,
        )
        assert 0.1 < turned.mean() < still.mean()

    def test_a_hole_in_seen_surface_is_not_unseen(self) -> None:
        """A nostril: too small to be filled."""
        avatar = tiny_avatar(24, 32)
        mesh = Mesh(avatar.canonical.T, avatar.faces)
        views = assumed_views(avatar)
        tip = int(np.argmax(mesh.vertices[:, 2]))
        around = np.flatnonzero((avatar.faces == tip).any(axis=1))
        flipped = avatar.faces.copy()
        flipped[around] = flipped[around][:, ::-1]  # seen from behind, so never drawn
        after = unseen_surface(replace(avatar, faces=flipped), views).colours
        assert not after[mesh.vertices[:, 2] > 0.2].any()

    def test_the_views_of_a_track_are_its_frames(self) -> None:
        talk, avatar = read_track("talk"), tiny_avatar()
        views = views_of([talk], avatar)
        assert len(views.cameras) == len(views.pose) == min(MAX_VIEWS, len(talk))
        np.testing.assert_array_equal(views.pose[[0, -1]], talk.pose[[0, -1]])
        assert views.cameras[0] is (talk.cameras[0] if talk.cameras else views.cameras[-1])


class TestFill:
    def test_seen_values_stay_and_filled_ones_lie_between_them(self) -> None:
        mesh = sphere()
        unseen = behind(mesh)
        values = np.random.default_rng(0).random((len(unseen), 4)).astype(np.float32)
        filled = HarmonicFill(mesh, unseen)(values)
        np.testing.assert_array_equal(filled[~unseen], values[~unseen])
        assert filled[unseen].min() >= values[~unseen].min() - 1e-5
        assert filled[unseen].max() <= values[~unseen].max() + 1e-5

    def test_weights_still_sum_to_one(self) -> None:
        mesh = sphere()
        weights = np.random.default_rng(1).dirichlet(np.ones(6), len(mesh.vertices))
        filled = HarmonicFill(mesh, behind(mesh))(weights.astype(np.float32))
        np.testing.assert_allclose(filled.sum(axis=1), 1.0, atol=1e-5)
        assert filled.min() >= -1e-6

    def test_height_continues_around_the_head(self) -> None:
        """Hair above, skin below: the border runs around the back at the same height."""
        mesh = sphere(48, 64)
        unseen = behind(mesh, 0.0)
        hair = (mesh.vertices[:, 1:2] > 0.3).astype(np.float32)
        filled = HarmonicFill(mesh, unseen)(hair)[:, 0]
        y = mesh.vertices[:, 1]
        assert filled[unseen & (y > 0.6)].min() > 0.7
        assert filled[unseen & (y < 0.0)].max() < 0.3

    def test_a_part_that_is_apart_takes_the_nearest_values(self) -> None:
        front, back = sphere(8, 8), sphere(8, 8)
        vertices = np.concatenate([front.vertices, 0.2 * back.vertices - [0, 0, 1.5]])
        faces = np.concatenate([front.faces, back.faces + len(front.vertices)])
        mesh = Mesh(vertices, faces)
        unseen = np.arange(len(vertices)) >= len(front.vertices)
        filled = HarmonicFill(mesh, unseen)(mesh.vertices)
        tail = front.vertices[front.vertices[:, 2].argmin()]
        np.testing.assert_allclose(filled[unseen].mean(axis=0), tail, atol=0.05)

    def test_faces_without_area_do_no_harm(self) -> None:
        """Decimation leaves them along a cut; flips of their edges would not end."""
        mesh = sphere()
        start, end, _ = mesh.faces[400].tolist()
        split = np.isin(mesh.faces, (start, end)).sum(axis=1) == 2
        new = len(mesh.vertices)  # on the start of the edge
        halves = [
            np.where(mesh.faces[split] == old, new, mesh.faces[split]) for old in (start, end)
        ]
        faces = np.concatenate([mesh.faces[~split], *halves])
        damaged = Mesh(np.concatenate([mesh.vertices, mesh.vertices[[start]]]), faces)
        assert damaged.open_edges() == 0
        filled = HarmonicFill(damaged, behind(damaged))(damaged.vertices)
        assert np.isfinite(filled).all()
        assert np.abs(filled).max() <= 1.0 + 1e-5

    def test_nothing_unseen_changes_nothing(self, head: HeadModel) -> None:
        mesh = sphere(8, 8)
        nothing = np.zeros(len(mesh.vertices), dtype=np.bool_)
        np.testing.assert_array_equal(HarmonicFill(mesh, nothing)(mesh.vertices), mesh.vertices)
        assert head_shape(mesh, HarmonicFill(mesh, nothing), head) is mesh


def distance_from(mesh: Mesh, points: Float32[Array, "N 3"]) -> Float64[Array, " N"]:
    squared, _, _ = igl.point_mesh_squared_distance(
        points.astype(np.float64), mesh.vertices.astype(np.float64), mesh.faces.astype(np.int64)
    )
    return np.asarray(np.sqrt(squared))


class TestShape:
    def test_a_second_face_at_the_back_becomes_the_back_of_the_head(self, head: HeadModel) -> None:
        body = Mesh(canonical_points(head).points, head.faces)
        unseen = body.vertices[:, 2] < -0.1
        skin = np.abs(body.vertices[:, 0]) < 0.25
        dented = body.vertices.copy()
        on_back = unseen & skin & (body.vertices[:, 1] > -0.3)
        dented[on_back, 2] += 0.05 * np.sin(20 * body.vertices[on_back, 1])
        wrong = Mesh(dented, body.faces)
        repaired = head_shape(wrong, HarmonicFill(wrong, unseen), head)
        np.testing.assert_array_equal(repaired.vertices[~unseen], dented[~unseen])
        error = distance_from(body, repaired.vertices[on_back])
        assert distance_from(body, dented[on_back]).max() > 0.03
        assert error.max() < 0.01

    def test_hair_keeps_its_height_around_the_back(self, head: HeadModel) -> None:
        body = Mesh(canonical_points(head).points, head.faces)
        unseen = (body.vertices[:, 2] < -0.2) & (body.vertices[:, 1] > 0)
        height = 0.06
        normals = body.vertex_normals()
        seen = (body.vertices + height * normals).astype(np.float32)
        seen[unseen] -= (height * normals)[unseen]  # the networks know no hair there
        wrong = Mesh(seen, body.faces)
        repaired = head_shape(wrong, HarmonicFill(wrong, unseen), head)
        gap = ((repaired.vertices - body.vertices) * normals).sum(axis=1)[unseen]
        assert np.median(gap) == pytest.approx(height, abs=0.015)


class TestBust:
    def test_the_cut_is_flat_and_the_surface_closed(self, avatar: ImplicitAvatar) -> None:
        bounds = Bounds.upright(-0.45, 0.5, -0.3)
        field = CutField(field_of(avatar).sdf, bounds=bounds)
        mesh, _ = polish(extract(field, resolution=64), field)
        assert mesh.open_edges() == 0
        low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
        np.testing.assert_allclose([low[0], high[0], low[1]], [-0.45, 0.5, -0.3], atol=2e-3)
        floor = mesh.vertices[mesh.vertices[:, 1] < -0.3 + 5e-3]
        assert len(floor) > 20
        assert np.ptp(floor[:, 1]) < 6e-3

    def test_gradients_are_the_planes_normals_beyond_the_surface(
        self, avatar: ImplicitAvatar
    ) -> None:
        field = CutField(field_of(avatar).sdf, bounds=Bounds.upright(-0.3, 0.3, -0.3))
        points = np.array([[0.1, -0.9, 0], [-0.9, 0, 0], [0.9, 0, 0]], dtype=np.float32)
        _, gradients = field.values_and_gradients(points, lambda count: None)
        np.testing.assert_array_equal(gradients, [[0, -1, 0], [-1, 0, 0], [1, 0, 0]])

    def test_the_head_is_whole(self, head: HeadModel) -> None:
        points = canonical_points(head)
        bounds = picture_bounds(points)
        assert (bounds.beyond(points.points[points.on_head]) < -0.1).all()
        assert bounds.beyond(points.points).max() < 0, "nor are the tips of the shoulders cut"
        mesh = Mesh(points.points, head.faces)
        assert len(clipped(mesh, bounds).faces) == len(mesh.faces)
        higher = Bounds.upright(-0.7, 0.7, -0.7)
        rest = clipped(mesh, higher)
        assert 0.5 * len(mesh.faces) < len(rest.faces) < len(mesh.faces)
        assert higher.beyond(rest.vertices).max() <= 1e-6


def colours_of_codes(
    source: ImplicitAvatar,
    baked: Bake,
    rows: Integer[Array, " N"],
    normals: Float32[Array, "N 3"],
    condition: Float32[Array, "53"],
) -> Float32[Array, "N 3"]:
    """Colours of vertices from their texture codes alone, as the runtime computes them."""
    network = BakedTexture(source.texture, baked.code.decode, baked.code.mean)
    inputs = (baked.avatar.texture_code[rows], normals, condition[None])
    with torch.inference_mode():
        return np.asarray(network(*map(torch.from_numpy, inputs)).numpy())


@pytest.fixture(scope="module")
def mesh(avatar: ImplicitAvatar) -> Mesh:
    return extract(field_of(avatar), resolution=64)


def behind_is_unseen(posed: Avatar) -> UnseenSurface:
    unseen = np.asarray(posed.canonical[2] < -0.2)
    return UnseenSurface(unseen, ~unseen)


@pytest.fixture(scope="module")
def filled(avatar: ImplicitAvatar, mesh: Mesh) -> Bake:
    return bake(avatar, mesh, fill=behind_is_unseen)


@pytest.fixture(scope="module")
def whole(avatar: ImplicitAvatar, mesh: Mesh) -> Bake:
    return bake(avatar, mesh)


class TestBake:
    def test_seen_vertices_stay_those_of_the_networks(self, whole: Bake, filled: Bake) -> None:
        seen = ~filled.filled
        assert not whole.filled.any()
        assert 0.1 < filled.filled.mean() < 0.6
        for name in ("rest", "canonical", "expression_basis", "pose_basis", "skin_weights"):
            before, after = getattr(whole.avatar, name), getattr(filled.avatar, name)
            np.testing.assert_array_equal(after[..., seen], before[..., seen])
            assert np.abs(after - before)[..., ~seen].max() > 1e-4

    def test_vertices_that_nearly_coincide_move_alike(
        self, avatar: ImplicitAvatar, mesh: Mesh, whole: Bake
    ) -> None:
        """Rounded to half precision, their displacements would turn the faces between them."""
        start, end, _ = mesh.faces[100].tolist()
        split = np.isin(mesh.faces, (start, end)).sum(axis=1) == 2
        new = len(mesh.vertices)
        halves = [
            np.where(mesh.faces[split] == old, new, mesh.faces[split]) for old in (start, end)
        ]
        point = mesh.vertices[[start]] * 0.998 + mesh.vertices[[end]] * 0.002
        needle = Mesh(
            np.concatenate([mesh.vertices, point]), np.concatenate([mesh.faces[~split], *halves])
        )
        baked = bake(avatar, needle).avatar
        for name in ("expression_basis", "pose_basis", "skin_weights"):
            values, before = getattr(baked, name), getattr(whole.avatar, name)
            np.testing.assert_array_equal(values[..., new], values[..., start])
            np.testing.assert_allclose(values[..., :new], before, atol=1e-6)
        assert 0 < np.linalg.norm(baked.rest[:, new] - baked.rest[:, start]) < 1e-3

    def test_a_filled_vertex_moves_and_looks_like_its_neighbours(
        self, avatar: ImplicitAvatar, filled: Bake
    ) -> None:
        seen = ~filled.filled
        basis = filled.avatar.expression_basis
        assert (basis[..., ~seen].max(axis=2) <= basis[..., seen].max(axis=2) + 1e-5).all()
        rows = np.flatnonzero(~seen)
        normals = rest_normals(filled.avatar)
        expected = colours_of_codes(avatar, filled, rows, normals[rows], np.zeros(53, np.float32))
        colours = vertex_colours(avatar, filled)
        np.testing.assert_allclose(colours[rows], expected, atol=1e-6)
        alone = point_colours(avatar, filled.avatar.canonical.T.copy(), normals)
        assert np.abs(alone - colours)[rows].max() > 0.01
        np.testing.assert_allclose(alone[seen], colours[seen], atol=1e-6)

    def test_golden_data_and_the_teacher_follow_the_filled_values(
        self, avatar: ImplicitAvatar, filled: Bake
    ) -> None:
        case = golden_cases(avatar, filled)["texture"]
        condition = case.inputs["condition"][0]
        rows = golden_rows(filled.avatar.vertex_count)
        expected = colours_of_codes(avatar, filled, rows, case.inputs["normal"], condition)
        assert filled.filled[rows].any()
        np.testing.assert_allclose(case.outputs["rgb"], expected, atol=1e-4)
        samples = validation_samples(avatar, filled, silent)["corners"]
        normals, colours = samples.normals[0].numpy(), samples.colours[0].numpy()
        rows = samples.corners[0, :, 0].numpy()
        expected = colours_of_codes(avatar, filled, rows, normals, samples.condition[0].numpy())
        np.testing.assert_allclose(colours, expected, atol=1e-4)

    def test_the_report_counts_them(self, filled: Bake) -> None:
        (note,) = unseen_notes(filled.filled, UnseenSettings())
        assert note.startswith(f"filled {filled.filled.sum():,} of {len(filled.filled):,} vertices")
        assert "--keep-unseen" in note
        assert "--seen-from states" in note
        stated = UnseenSettings(seen_from=(read_track("talk"),))
        assert (
            "which the views of --seen-from do not show" in unseen_notes(filled.filled, stated)[0]
        )
        assert unseen_notes(np.zeros(3, dtype=np.bool_), UnseenSettings()) == []
