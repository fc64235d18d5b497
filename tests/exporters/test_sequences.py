"""Every sequence format, read back by independent readers and compared with the avatar's posing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh

from imavatar_deploy.exporters.formats.gltf.morph_targets import with_four_influences
from imavatar_deploy.exporters.sequences.bake import bake_motion
from imavatar_deploy.exporters.sequences.formats import FORMATS
from imavatar_deploy.exporters.sequences.motion import Motion, open_motion
from imavatar_deploy.exporters.sequences.obj import decimal_lines, face_lines
from imavatar_deploy.exporters.sequences.workers import thread_executor
from imavatar_deploy.kinematics import condition_of
from imavatar_deploy.onnx_session import open_session, run_graph
from imavatar_deploy.rendering.posing import pose_plainly, surface_normals

from .sequence_readers import READERS, Read

NEAR = 1e-4
"""Metres."""


@pytest.fixture(scope="session")
def motion(tiny_avatar_folder: Path) -> Motion:
    """Eight frames spread over the talk track."""
    return open_motion(tiny_avatar_folder, "talk", frames=slice(0, 240, 30), colour=True)


@pytest.fixture(scope="session")
def baked(motion: Motion, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Read]:
    out = tmp_path_factory.mktemp("baked") / "all"
    bake_motion(motion, out, list(FORMATS.values()), executor=thread_executor(2))
    assert not (out / "work").exists()
    return {name: read(out) for name, read in READERS.items()}


def test_every_format_has_an_independent_reader() -> None:
    assert READERS.keys() == FORMATS.keys()


@pytest.mark.parametrize("name", FORMATS)
class TestEveryFormat:
    def test_moves_the_vertices_as_the_avatar_does(
        self, name: str, baked: dict[str, Read], motion: Motion
    ) -> None:
        read = baked[name]
        assert read.vertices.shape == (len(motion), motion.avatar.vertex_count, 3)
        for vertices, frame in zip(read.vertices, motion.track.frames(), strict=True):
            # GLB reports this limit.
            avatar = with_four_influences(motion.avatar) if name == "glb" else motion.avatar
            expected = pose_plainly(avatar, frame.expression, frame.pose).vertices / 4
            assert np.abs(vertices - expected).max() <= NEAR
        assert np.ptp(read.vertices, axis=0).max() > 10 * NEAR, "it moves"

    def test_faces_are_those_of_the_avatar_and_point_outwards(
        self, name: str, baked: dict[str, Read], motion: Motion
    ) -> None:
        read = baked[name]
        assert np.array_equal(read.faces, motion.avatar.faces)
        for vertices in read.vertices:
            corners = vertices[read.faces]
            assert np.einsum("fi,fi->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) > 0

    def test_has_the_normals_and_colours_of_its_channels(
        self, name: str, baked: dict[str, Read], motion: Motion
    ) -> None:
        read, channels = baked[name], FORMATS[name].channels
        assert (read.normals is not None) == ("normals" in channels)
        assert (read.colours is not None) == ("colours" in channels)
        session = open_session(motion.folder.file("texture.onnx"), threads=1)
        for index, frame in enumerate(motion.track.frames()):
            normals = surface_normals(
                motion.avatar, pose_plainly(motion.avatar, frame.expression, frame.pose)
            )
            if read.normals is not None:
                assert np.abs(read.normals[index] - normals).max() <= 2e-3
            if read.colours is not None:
                condition = condition_of(frame.expression, frame.pose)
                inputs = {
                    "code": motion.avatar.texture_code,
                    "normal": normals,
                    "condition": condition,
                }
                expected = run_graph(session, inputs)["rgb"]
                assert np.abs(read.colours[index] - expected).max() <= 4e-3

    def test_keeps_the_frame_rate_where_it_can(
        self, name: str, baked: dict[str, Read], motion: Motion
    ) -> None:
        fps = baked[name].fps
        assert fps is None or fps == pytest.approx(motion.fps, rel=1e-5)

    def test_bytes_depend_on_the_motion_alone(
        self, name: str, motion: Motion, tmp_path: Path
    ) -> None:
        trees = []
        for jobs in (1, 3):
            bake_motion(
                motion, tmp_path / str(jobs), [FORMATS[name]], executor=thread_executor(jobs)
            )
            trees.append(tree(tmp_path / str(jobs)))
        assert trees[0] == trees[1]
        assert not any(str(tmp_path).encode() in data for data in trees[0].values())


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def still_colours(
    tiny_avatar_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Read]:
    """A bake with default settings."""
    out = tmp_path_factory.mktemp("default") / "all"
    motion = open_motion(tiny_avatar_folder, "talk", frames=slice(0, 90, 45))
    bake_motion(motion, out, list(FORMATS.values()), executor=thread_executor(2))
    return {name: read(out) for name, read in READERS.items()}


@pytest.mark.parametrize("name", FORMATS)
def test_colours_are_those_of_the_neutral_face_by_default(
    name: str, still_colours: dict[str, Read], motion: Motion
) -> None:
    read = still_colours[name]
    if "colours" not in FORMATS[name].channels:
        assert read.colours is None
        return
    neutral, rest = np.zeros(50, dtype=np.float32), np.zeros(15, dtype=np.float32)
    inputs = {
        "code": motion.avatar.texture_code,
        "normal": surface_normals(motion.avatar, pose_plainly(motion.avatar, neutral, rest)),
        "condition": condition_of(neutral, rest),
    }
    session = open_session(motion.folder.file("texture.onnx"), threads=1)
    expected = run_graph(session, inputs)["rgb"]
    assert read.colours is not None
    assert read.colours.shape == (2, motion.avatar.vertex_count, 3)
    assert np.abs(read.colours - expected).max() <= 4e-3


def test_the_mesh_of_a_point_cache_has_the_neutral_colours(
    tiny_avatar_folder: Path, tmp_path: Path
) -> None:
    motion = open_motion(tiny_avatar_folder, "talk", frames=slice(0, 2))
    bake_motion(motion, tmp_path / "o", [FORMATS["pc2"]])
    mesh = trimesh.load(tmp_path / "o" / "head.obj", process=False, maintain_order=True)
    assert np.ptp(mesh.visual.vertex_colors[:, :3], axis=0).min() > 10


@pytest.mark.parametrize("name", FORMATS)
def test_colours_can_be_left_out(name: str, tiny_avatar_folder: Path, tmp_path: Path) -> None:
    motion = open_motion(tiny_avatar_folder, "talk", frames=slice(0, 2), colour=False)
    bake_motion(motion, tmp_path / "o", [FORMATS[name]])
    assert READERS[name](tmp_path / "o").colours is None


class TestText:
    def test_decimals_are_rounded_and_formatted(self) -> None:
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
