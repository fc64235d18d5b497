"""Stray parts, which float free of the head, are left out of every export; parts of a head stay."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from click.testing import CliRunner, Result

from imavatar_deploy.arrays import Array, Float, Float32, Integer
from imavatar_deploy.avatar_io import open_avatar
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.exporters.commands.export import export
from imavatar_deploy.exporters.formats.gltf.reader import GlbPlayback
from imavatar_deploy.exporters.mesh_cleanup import (
    LARGE_PART_SHARE,
    Cleaned,
    HeadPoints,
    canonical_points,
    drop_strays,
    posed_points,
    stray_notes,
    without_strays,
)
from imavatar_deploy.exporters.settings import ExportSettings
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.model import ImplicitAvatar, save_checkpoint
from imavatar_deploy.model.surface.mesh import Mesh, part_of_face
from imavatar_deploy.training.synthetic import SUBJECTS
from imavatar_deploy.training.synthetic.build_subject import build_subject

from ..shapes import closed_sphere
from .lump import with_lump
from .test_mesh_format import small_variant

CENTIMETRE = UNITS_PER_METRE / 100
SMALL = ("--resolution", 64, "--faces", 1000)


def call(*arguments: Any) -> Result:
    return CliRunner().invoke(export, [str(argument) for argument in arguments])


def ball(centre: Sequence[float], size: float) -> Mesh:
    vertices, faces = closed_sphere(12, 16)
    return Mesh((size * vertices + np.array(centre)).astype(np.float32), faces)


def joined(*parts: Mesh) -> Mesh:
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    faces = [part.faces + start for part, start in zip(parts, starts, strict=False)]
    return Mesh(np.concatenate([part.vertices for part in parts]), np.concatenate(faces))


def count(mesh: Mesh) -> int:
    return int(part_of_face(mesh).max()) + 1


def components(
    positions: Float[Array, "V 3"], faces: Integer[Array, "F 3"]
) -> list[Integer[Array, " _"]]:
    """Faces of the connected pieces of a mesh, whose seams may have doubled vertices."""
    mesh = trimesh.Trimesh(positions, faces, process=False)
    mesh.merge_vertices(merge_tex=True, merge_norm=True)
    return list(
        trimesh.graph.connected_components(mesh.face_adjacency, nodes=np.arange(len(faces)))
    )


def pieces(positions: Float[Array, "V 3"], faces: Integer[Array, "F 3"]) -> int:
    return len(components(positions, faces))


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return HeadModel.load("openhead")


@pytest.fixture(scope="module")
def points(head: HeadModel) -> HeadPoints:
    return canonical_points(head)


@pytest.fixture(scope="module")
def body(head: HeadModel, points: HeadPoints) -> Mesh:
    """Skin, eyeballs, two rows of teeth and a tongue, all apart."""
    mesh = Mesh(points.points, head.faces)
    assert count(mesh) == 6
    return mesh


def lowest(mesh: Mesh) -> Float32[Array, "3"]:
    return np.asarray(mesh.vertices[mesh.vertices[:, 1].argmin()])


def below(mesh: Mesh, gap: float, size: float) -> Mesh:
    """A ball under the lowest point of a mesh; lengths in centimetres."""
    return ball(lowest(mesh) - np.array([0, (gap + size) * CENTIMETRE, 0]), size * CENTIMETRE)


class TestRule:
    def test_specks_are_left_out_and_glasses_stay(self, head: HeadModel) -> None:
        face, glasses = ball((0, 0, 0), 0.4), ball((0.1, 0.05, 0.47), 0.03)
        speck = ball((0, -1.2, 0), 0.05)
        cleaned = without_strays(joined(face, glasses, speck), head)
        np.testing.assert_array_equal(cleaned.vertices, joined(face, glasses).vertices)
        assert len(without_strays(speck, head).faces) == len(speck.faces)

    def test_lumps_below_the_bust_are_left_out(self, body: Mesh, points: HeadPoints) -> None:
        lumps = below(body, 5, 2.5), ball((0, -1.1, 0.27), 0.01)
        cleaned = drop_strays(joined(lumps[0], body, lumps[1]), points)
        np.testing.assert_array_equal(cleaned.mesh.vertices, body.vertices)
        np.testing.assert_array_equal(cleaned.mesh.faces, body.faces)
        assert [part.faces for part in cleaned.strays] == [len(lump.faces) for lump in lumps]
        assert cleaned.strays[0].gap == pytest.approx(5 * CENTIMETRE, rel=0.01)
        (note,) = stray_notes(cleaned)
        assert "left out 2 loose pieces (" in note
        assert f"of {cleaned.extracted:,} extracted faces" in note
        assert note.endswith("--keep-strays keeps them")

    @pytest.mark.parametrize(
        ("gap", "radius", "stays"),
        [(0.5, 0.2, True), (1.5, 0.2, False), (1.5, 2.0, True), (2.5, 2.0, False)],
    )
    def test_on_the_head_the_largest_gap_is_the_extent_up_to_2_cm(
        self, body: Mesh, points: HeadPoints, gap: float, radius: float, stays: bool
    ) -> None:
        """A lens without a visible frame may, a speck may not."""
        nose = body.vertices[body.vertices[:, 2].argmax()]
        part = ball(nose + np.array([0, 0, (gap + radius) * CENTIMETRE]), radius * CENTIMETRE)
        assert count(drop_strays(joined(body, part), points).mesh) == 6 + stays

    @pytest.mark.parametrize(("gap", "stays"), [(0.5, True), (1.3, False)])
    def test_on_the_bust_the_largest_gap_is_1_cm(
        self,
        body: Mesh,
        points: HeadPoints,
        gap: float,
        stays: bool,
    ) -> None:
        """Scraps of any size gather along its edge."""
        part = below(body, gap, 2)
        assert count(drop_strays(joined(body, part), points).mesh) == 6 + stays

    def test_a_scrap_of_a_missing_bust_is_left_out(self, body: Mesh, points: HeadPoints) -> None:
        """It is near the head model, but not near the avatar's surface."""
        scrap = ball(lowest(body), 0.5 * CENTIMETRE)
        bust = body.vertices[:, 1] < lowest(body)[1] + 3 * CENTIMETRE
        rest = body.with_faces(~bust[body.faces].any(axis=1))
        assert len(drop_strays(joined(rest, scrap), points).strays) == 1

    def test_parts_attached_to_the_body_stay(self, body: Mesh, points: HeadPoints) -> None:
        lobe = below(body, 0.3, 1)
        ring = below(lobe, 0.3, 1)
        pendant = below(ring, 0.3, 1)
        assert drop_strays(joined(pendant, ring, lobe, body), points).strays == ()
        assert len(drop_strays(joined(pendant, ring, body), points).strays) == 2

    def test_a_large_part_stays_and_is_reported(self, points: HeadPoints) -> None:
        """Shoulders under a neck that is missing."""
        face, shoulders = ball((0, 0.2, 0), 0.3), ball((0, -1.5, 0), 0.2)
        cleaned = drop_strays(joined(face, shoulders), points)
        assert (cleaned.strays, count(cleaned.mesh)) == ((), 2)
        assert cleaned.large[0].share > LARGE_PART_SHARE
        (note,) = stray_notes(cleaned)
        assert "kept 1 detached part of up to 44 % of the body's area" in note
        assert "--components largest" in note
        small = ball((0, -1.5, 0), 0.05)
        assert count(drop_strays(joined(face, small), points).mesh) == 1

    def test_the_body_is_at_the_head_model(self, body: Mesh, points: HeadPoints) -> None:
        shell, speck = ball((0, -6, 0), 3.0), below(body, 4, 1)
        cleaned = drop_strays(joined(shell, body, speck), points)
        assert [part.faces for part in cleaned.large] == [len(shell.faces)]
        assert [part.faces for part in cleaned.strays] == [len(speck.faces)]

    def test_a_mesh_far_away_keeps_its_largest_part(self, points: HeadPoints) -> None:
        large, speck = ball((0, -9, 0), 0.5), ball((0, -8, 0), 0.05)
        cleaned = drop_strays(joined(speck, large), points).mesh
        np.testing.assert_array_equal(cleaned.vertices, large.vertices)

    def test_a_whole_mesh_is_left_alone(self, points: HeadPoints) -> None:
        whole = ball((0, 0, 0), 0.4)
        cleaned = drop_strays(whole, points)
        assert cleaned == Cleaned(whole, extracted=len(whole.faces))
        assert stray_notes(cleaned) == []

    @pytest.mark.parametrize("name", SUBJECTS)
    def test_a_synthetic_person_loses_nothing(self, head: HeadModel, name: str) -> None:
        """Eyes, teeth, tongue, a bob, a bun and all tubes of the glasses are parts of their own."""
        subject = build_subject(name, 0).surface
        zeros = np.zeros(50, dtype=np.float32), np.zeros(15, dtype=np.float32)
        mesh = Mesh(subject.rest, subject.faces.astype(np.int32))
        assert count(mesh) >= 6
        cleaned = drop_strays(mesh, posed_points(head, *zeros))
        assert (cleaned.strays, cleaned.large) == ((), ())


def test_all_components_are_all_of_them() -> None:
    assert ExportSettings().drops_strays
    assert ExportSettings(components="largest").drops_strays
    assert not ExportSettings(components="all").drops_strays
    assert not ExportSettings(keep_strays=True).drops_strays


def test_help_says_what_is_left_out() -> None:
    text = CliRunner().invoke(export, ["--help"], terminal_width=200).output
    assert text.index("--components") < text.index("--keep-strays") < text.index("--edition")
    assert "eyeballs, teeth, glasses and hair belong" in " ".join(text.split())


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """README's line for engines and browsers, small, and what it printed.

    The cut of the bust would take the loose pieces along.
    """
    out = tmp_path_factory.mktemp("sample") / "head"
    options = ("--track", "talk", "--out", out, *SMALL, "--keep-bust")
    result = call("sample", "--format", "glb,vrm", *options)
    assert result.exit_code == 0, result.output
    return out, result.output


@pytest.fixture(scope="module")
def lumpy(avatar: ImplicitAvatar, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lumpy") / "checkpoint"
    save_checkpoint(with_lump(avatar, *LUMP), folder)
    return folder


class TestSample:
    """The bundled checkpoint has two lumps below its chest, which a turning jaw moves by 5 cm."""

    @pytest.mark.parametrize("name", ["avatar.glb", "avatar.vrm"])
    def test_glb_and_vrm_are_one_piece(self, sample: tuple[Path, str], name: str) -> None:
        file = GlbPlayback(sample[0] / name)
        faces = file.array(file.primitive.indices).reshape(-1, 3)
        assert pieces(file.attribute("POSITION"), faces) == 1

    def test_what_was_left_out_is_reported(self, sample: tuple[Path, str]) -> None:
        out, output = sample
        assert "left out 2 loose pieces (112 of 8,038 extracted faces)" in output
        surface = open_avatar(out).manifest["fidelity"]["surface"]
        assert (surface["stray_pieces"], surface["stray_faces"]) == (2, 112)

    def test_the_bundled_avatar_is_one_piece_but_for_teeth_and_tongue(self) -> None:
        avatar = open_avatar("sample").avatar
        points = avatar.rest.T
        head, *others = sorted(components(points, avatar.faces), key=len, reverse=True)
        assert len(head) > 0.75 * len(avatar.faces)
        for piece in others:
            corners = points[avatar.faces[piece]]
            assert (np.abs(corners[..., 0]) < 0.16).all()
            assert ((corners[..., 1] > -0.36) & (corners[..., 1] < -0.1)).all()
            assert ((corners[..., 2] > 0.0) & (corners[..., 2] < 0.4)).all()


LUMP = (0.6, 0.6, 0.0), 0.15
"""Centre and radius of a ball 3 cm beside the small avatars' spheres."""


class TestExports:
    """Small avatars with a ball beside them."""

    @pytest.mark.parametrize(
        ("options", "expected"),
        [((), 1), (("--keep-strays",), 2), (("--components", "all"), 2)],
    )
    def test_an_option_keeps_them(
        self,
        lumpy: Path,
        tmp_path: Path,
        options: tuple[str, ...],
        expected: int,
    ) -> None:
        result = call(lumpy, "--format", "glb", "--out", tmp_path / "out", *SMALL, *options)
        assert result.exit_code == 0, result.output
        baked = open_avatar(tmp_path / "out").avatar
        assert pieces(baked.rest.T, baked.faces) == expected
        assert ("left out 1 loose piece (" in result.output) == (expected == 1)

    @pytest.mark.parametrize("name", ["imavatar", "d-net"])
    def test_meshes_of_the_field(self, tmp_path: Path, name: str) -> None:
        """Extracted in canonical space, and in deformed space for every mesh."""
        source, faces = tmp_path / "checkpoint", tmp_path / "faces.json"
        faces.write_text(json.dumps({"turned": {"pose": {"neck": [0, 0.4, 0]}}, "still": {}}))
        save_checkpoint(with_lump(small_variant(name), *LUMP), source)
        quick = ("--format", "mesh", "--from-field", "--expressions", faces, *SMALL)
        for options in ((), ("--keep-strays",)):
            out = tmp_path / f"out{len(options)}"
            result = call(source, "--out", out, *quick, *options)
            assert result.exit_code == 0, result.output
            for face in ("turned", "still"):
                mesh = trimesh.load(out / "meshes" / f"{face}.ply", process=False)
                assert pieces(mesh.vertices, mesh.faces) == 1 + len(options)
            text = " ".join(result.output.split())
            assert ("left out of 2 of 2 meshes: loose pieces" in text) == (not options)
