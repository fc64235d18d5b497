from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial import cKDTree

from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.exporters.mesh_cleanup import polish
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.model import ImplicitAvatar, NetworkSizes, load_checkpoint
from imavatar_deploy.model.surface.extract import extract, field_of
from imavatar_deploy.model.surface.field import Field
from imavatar_deploy.model.surface.lattice import (
    CORNERS,
    Lattice,
    marching_cubes,
    sample_near_surface,
)
from imavatar_deploy.model.surface.mesh import Mesh, keep_components, part_of_face
from imavatar_deploy.progress import silent

from ..shapes import Distance, plate, sphere, spheres, torus
from .conftest import SMALL

HALF = 1.26


def all_crossed_cells(field: Field, side: int) -> set[tuple[int, ...]]:
    """Return the crossed cells of a dense lattice."""
    points = np.indices((side + 1,) * 3).reshape(3, -1).T
    cells = np.zeros((0, 3), dtype=np.int64)
    corners = np.zeros((0, 8), dtype=np.int64)
    values = np.zeros(len(points), dtype=np.float32)
    lattice = Lattice(HALF, side, cells, corners, points, values)
    inside = (field.values(lattice.positions(points), lambda steps: None) < 0).reshape(
        (side + 1,) * 3
    )
    at_corners = [inside[x : side + x, y : side + y, z : side + z] for x, y, z in CORNERS]
    crossed = np.any(at_corners, axis=0) & ~np.all(at_corners, axis=0)
    return {tuple(map(int, cell)) for cell in np.argwhere(crossed)}


def crossed_cells(field: Field, coarse: int, fine: int) -> set[tuple[int, ...]]:
    lattice = sample_near_surface(field, coarse=coarse, fine=fine, half=HALF, progress=silent)
    return {tuple(map(int, cell)) for cell in lattice.cells}


def volume(mesh: Mesh) -> float:
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    return float(np.linalg.det(corners).sum() / 6.0)


@pytest.mark.parametrize("shape", [sphere, torus, spheres, plate])
class TestSparseLatticeIsComplete:
    def test_with_parts_smaller_than_a_coarse_cell(self, shape: Distance) -> None:
        assert crossed_cells(Field(shape), 16, 64) == all_crossed_cells(Field(shape), 64)

    @pytest.mark.parametrize("scale", [0.05, 20.0])
    def test_with_a_field_that_is_no_distance(self, shape: Distance, scale: float) -> None:
        field = Field(lambda x: torch.tanh(8.0 * shape(x)) * scale * (1.5 + x[:, 0].sin()))
        assert crossed_cells(field, 32, 64) == all_crossed_cells(field, 64)


def test_sparse_lattice_of_a_network() -> None:
    torch.manual_seed(5)
    field = field_of(ImplicitAvatar(HeadModel.load("openhead"), NetworkSizes(**SMALL)))
    expected = all_crossed_cells(field, 32)
    assert len(expected) > 500
    assert crossed_cells(field, 8, 32) == expected


def test_a_surface_is_followed_into_unvisited_octants() -> None:
    """Away from its zero this field is flat, so that the measured steepness is too small."""
    field = Field(lambda x: sphere(x).clamp(-1e-3, 1e-3))
    assert crossed_cells(field, 32, 64) == all_crossed_cells(field, 64)


@pytest.mark.parametrize("shape", [sphere, torus])
def test_following_the_surface_alone_evaluates_fewer_points(shape: Distance) -> None:
    thorough = Field(shape)
    followed = Field(shape)
    cells = [
        {
            tuple(map(int, cell))
            for cell in sample_near_surface(
                field, coarse=16, fine=64, half=HALF, progress=silent, thorough=limit
            ).cells
        }
        for field, limit in ((thorough, None), (followed, 32))
    ]
    assert cells[0] == cells[1]
    assert followed.evaluations < thorough.evaluations


def test_few_points_are_evaluated() -> None:
    field = Field(sphere)
    extract(field, resolution=256)
    assert field.evaluations < 0.05 * 257**3


@pytest.mark.parametrize(
    ("shape", "expected"), [(sphere, 4 / 3 * np.pi * 0.7**3), (torus, 2 * np.pi**2 * 0.6 * 0.15**2)]
)
def test_mesh_is_closed_outward_and_without_duplicates(shape: Distance, expected: float) -> None:
    mesh, _ = polish(extract(Field(shape), resolution=128), Field(shape))
    assert mesh.open_edges() == 0
    # Chords reduce the volume by (cell / tube radius)² / 4.
    assert volume(mesh) == pytest.approx(expected, rel=5e-3)
    assert len(np.unique(mesh.vertices, axis=0)) == len(mesh.vertices)
    assert mesh.face_areas().min() > 1e-9
    assert set(np.unique(mesh.faces)) == set(range(len(mesh.vertices)))


def test_bricks_do_not_change_the_mesh(monkeypatch: pytest.MonkeyPatch) -> None:
    lattice = sample_near_surface(Field(torus), coarse=64, fine=64, half=HALF, progress=silent)
    in_bricks = marching_cubes(lattice)
    monkeypatch.setattr("imavatar_deploy.model.surface.lattice.BRICK", 64)
    whole = marching_cubes(lattice)
    np.testing.assert_allclose(in_bricks.vertices, whole.vertices, atol=1e-6)
    assert {tuple(np.roll(face, -face.argmin())) for face in in_bricks.faces} == {
        tuple(np.roll(face, -face.argmin())) for face in whole.faces
    }


def test_a_surface_beyond_the_sphere_is_cut_and_closed() -> None:
    field = Field(lambda x: x[:, 1])
    mesh = extract(field, resolution=64)
    assert mesh.open_edges() == 0
    assert np.linalg.norm(mesh.vertices, axis=1).max() < field.radius + 0.1 * 2 * HALF / 64


def hollow(x: torch.Tensor) -> torch.Tensor:
    """Return the field of a shell, a ball in its cavity, a small ball beside it, and a speck."""
    shell = torch.maximum(x.norm(dim=1) - 0.7, 0.5 - x.norm(dim=1))
    inner = x.norm(dim=1) - 0.2
    beside = (x - torch.tensor([0.0, 0.95, 0.0])).norm(dim=1) - 0.1
    speck = (x - torch.tensor([0.9, 0.0, 0.0])).norm(dim=1) - 0.012
    return torch.stack([shell, inner, beside, speck]).amin(dim=0)


@pytest.mark.parametrize(("which", "parts"), [("all", 5), ("visible", 3), ("largest", 1)])
def test_components(which: str, parts: int) -> None:
    mesh = extract(Field(hollow), resolution=128, components=which)
    assert part_of_face(mesh).max() + 1 == parts
    assert mesh.open_edges() == 0
    assert np.abs(mesh.vertices).max() == pytest.approx(
        {"all": 1.05, "visible": 1.05, "largest": 0.7}[which], abs=2e-3
    )


def test_unknown_components_are_refused() -> None:
    with pytest.raises(UsageError, match="did you mean 'largest'"):
        keep_components(extract(Field(sphere), resolution=64), "larges")


def test_unknown_resolution_is_refused() -> None:
    with pytest.raises(UsageError, match="64, 128, 256, 512, got 100"):
        extract(Field(sphere), resolution=100)


def test_a_field_without_surface_is_refused() -> None:
    with pytest.raises(InputError, match="no surface"):
        extract(Field(lambda x: x.norm(dim=1) + 1.0), resolution=64)


def test_progress_counts_every_point() -> None:
    records: list[tuple[str, int | None, int]] = []

    class Recorder:
        def __init__(self, description: str, total: int | None) -> None:
            self.description = description
            self.total = total
            self.done = 0

        def __enter__(self):  # type: ignore[no-untyped-def]
            def advance(steps: int) -> None:
                self.done += steps

            return advance

        def __exit__(self, *error: object) -> None:
            records.append((self.description, self.total, self.done))

    extract(Field(sphere), resolution=128, progress=Recorder)
    assert [row[0] for row in records] == ["field at 64³", "field at 128³"]
    assert all(total == done for _, total, done in records)


class TestPolish:
    def test_moves_vertices_onto_the_surface(self) -> None:
        mesh = extract(Field(torus), resolution=64)
        noisy = mesh.vertices + np.random.default_rng(0).normal(0.0, 2e-4, mesh.vertices.shape)
        _, gain = polish(Mesh(noisy.astype(np.float32), mesh.faces), Field(torus))
        assert gain.p99[0] > 5e-4
        assert gain.p99[1] < 1e-5

    def test_flips_no_face(self) -> None:
        def folded(x: torch.Tensor) -> torch.Tensor:
            return x[:, 2] + 0.4 * torch.sin(60.0 * x[:, 0])

        grid = (
            np.stack(np.meshgrid(np.arange(8), np.arange(8), indexing="ij"), -1).reshape(-1, 2)
            * 0.05
        )
        vertices = np.column_stack([grid, np.zeros(64)]).astype(np.float32)
        corner = (np.arange(7)[:, None] * 8 + np.arange(7)).reshape(-1)
        faces = np.concatenate(
            [
                np.stack([corner, corner + 8, corner + 9], 1),
                np.stack([corner, corner + 9, corner + 1], 1),
            ]
        )
        mesh = Mesh(vertices, faces.astype(np.int32))
        polished, _ = polish(mesh, Field(folded))
        assert not np.array_equal(polished.vertices, mesh.vertices)
        assert (np.einsum("fi,fi->f", mesh.face_normals(), polished.face_normals()) > 0).all()


def test_reference_head_agrees_with_the_official_code(reference: Path) -> None:
    """Surface points of the official code lie on the mesh of a coarse extraction."""
    run = reference / "experiments" / "openhead" / "IMavatar" / "train0" / "train"
    field = field_of(load_checkpoint(run))
    mesh = marching_cubes(
        sample_near_surface(field, coarse=32, fine=64, half=HALF, progress=silent)
    )
    assert mesh.open_edges() == 0
    points = np.load(reference / "golden" / "e_surface.npz")["points_c"]
    distance = cKDTree(mesh.vertices).query(points)[0]
    # One cell; the other points are in sockets narrower than that.
    assert np.percentile(distance, 95) < 2 * HALF / 64


@pytest.mark.parametrize("shape", [sphere, torus, plate])
def test_trimesh_agrees_that_meshes_are_closed_and_outward(shape: Distance) -> None:
    mesh = extract(Field(shape), resolution=64)
    loaded = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    assert loaded.is_watertight
    assert loaded.is_winding_consistent
    assert loaded.volume > 0
