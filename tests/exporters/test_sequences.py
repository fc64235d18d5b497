"""Every sequence format, read back by other programs' readers and held to the avatar's own vertices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from imavatar_deploy.exporters.formats.gltf.morph_targets import with_four_influences
from imavatar_deploy.exporters.sequences.bake import bake_take
from imavatar_deploy.exporters.sequences.formats import FORMATS
from imavatar_deploy.exporters.sequences.motion import Motion, open_take
from imavatar_deploy.exporters.sequences.obj import decimal_lines, face_lines
from imavatar_deploy.exporters.sequences.workers import threads
from imavatar_deploy.kinematics import condition_of
from imavatar_deploy.onnx_session import open_session, run_graph
from imavatar_deploy.rendering.posing import pose_plainly, surface_normals

from .sequence_readers import READERS, Read

NEAR = 1e-4
"""Metres."""


@pytest.fixture(scope="session")
def take(tiny_avatar_folder: Path) -> Motion:
    """Eight frames all over the talk track, and a corner of pose and expression; retimed by its step."""
    return open_take(tiny_avatar_folder, "talk", frames=slice(0, 240, 30), colour=True)


@pytest.fixture(scope="session")
def baked(take: Motion, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Read]:
    out = tmp_path_factory.mktemp("baked") / "all"
    bake_take(take, out, list(FORMATS.values()), crew=threads(2))
    assert not (out / "work").exists()
    return {name: read(out) for name, read in READERS.items()}


def test_every_format_has_an_independent_reader() -> None:
    assert READERS.keys() == FORMATS.keys()


@pytest.mark.parametrize("name", FORMATS)
class TestEveryFormat:
    def test_moves_the_vertices_as_the_avatar_does(
        self, name: str, baked: dict[str, Read], take: Motion
    ) -> None:
        read = baked[name]
        assert read.vertices.shape == (len(take), take.avatar.vertex_count, 3)
        for vertices, frame in zip(read.vertices, take.track.frames(), strict=True):
            able = (
                with_four_influences(take.avatar) if name == "glb" else take.avatar
            )  # a limit that it tells of
            expected = pose_plainly(able, frame.expression, frame.pose).vertices / 4
            assert np.abs(vertices - expected).max() <= NEAR
        assert np.ptp(read.vertices, axis=0).max() > 10 * NEAR, "it moves"

    def test_faces_are_the_avatars_and_wind_outwards(
        self, name: str, baked: dict[str, Read], take: Motion
    ) -> None:
        read = baked[name]
        assert np.array_equal(read.faces, take.avatar.faces)
        for vertices in read.vertices:
            corners = vertices[read.faces]
            assert np.einsum("fi,fi->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) > 0

    def test_normals_and_colours_are_there_where_the_row_says_so(
        self, name: str, baked: dict[str, Read], take: Motion
    ) -> None:
        read, channels = baked[name], FORMATS[name].channels
        assert (read.normals is not None) == ("normals" in channels)
        assert (read.colours is not None) == ("colours" in channels)
        session = open_session(take.folder.file("texture.onnx"), threads=1)
        for index, frame in enumerate(take.track.frames()):
            normals = surface_normals(
                take.avatar, pose_plainly(take.avatar, frame.expression, frame.pose)
            )
            if read.normals is not None:
                assert np.abs(read.normals[index] - normals).max() <= 2e-3
            if read.colours is not None:
                condition = condition_of(frame.expression, frame.pose)
                given = {
                    "code": take.avatar.texture_code,
                    "normal": normals,
                    "condition": condition,
                }
                assert np.abs(read.colours[index] - run_graph(session, given)["rgb"]).max() <= 4e-3

    def test_keeps_the_frame_rate_where_it_can(
        self, name: str, baked: dict[str, Read], take: Motion
    ) -> None:
        fps = baked[name].fps
        assert fps is None or fps == pytest.approx(take.fps, rel=1e-5)

    def test_bytes_depend_on_the_take_alone(self, name: str, take: Motion, tmp_path: Path) -> None:
        trees = []
        for jobs in (1, 3):
            bake_take(take, tmp_path / str(jobs), [FORMATS[name]], crew=threads(jobs))
            trees.append(tree(tmp_path / str(jobs)))
        assert trees[0] == trees[1]
        assert not any(str(tmp_path).encode() in data for data in trees[0].values())


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


class TestText:
    def test_decimals_read_back_and_look_as_they_should(self) -> None:
        rows = np.array([[0.0, -0.0000004, 1.5], [-12.3456789, 99999.0, -0.05]], dtype=np.float32)
        text = decimal_lines("v", rows, 6)
        assert text == b"v 0.000000 0.000000 1.500000\nv -12.345679 99999.000000 -0.050000\n"

    def test_decimals_agree_with_pythons_own(self) -> None:
        rows = np.random.default_rng(1).normal(size=(200, 3)).astype(np.float32)
        values = np.array(
            [line.split()[1:] for line in decimal_lines("vn", rows, 4).splitlines()], dtype=float
        )
        assert np.abs(values - rows).max() <= 0.5e-4 + 1e-12

    def test_faces_are_counted_from_one(self) -> None:
        assert face_lines(np.array([[0, 9, 99]], dtype=np.int32)) == b"f 1//1 10//10 100//100\n"
