"""Our files in real programs: Blender, VTK, MeshLab, Open3D, three.js and three-vrm.

A program that is absent is skipped. `make consumers` installs all of them and runs these tests;
docs/importers.md has the table of results.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from imavatar_deploy.arrays import Array, Float64
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.exporters.formats.fbx import convert
from imavatar_deploy.exporters.formats.gltf.glb import write_glb
from imavatar_deploy.exporters.formats.gltf.morph_targets import with_four_influences
from imavatar_deploy.exporters.formats.gltf.settings import GlbSettings, VrmSettings
from imavatar_deploy.exporters.formats.gltf.vrm import write_vrm
from imavatar_deploy.exporters.formats.gltf.vrm_rig import HEAD_HEIGHT
from imavatar_deploy.exporters.sequences.bake import bake_motion
from imavatar_deploy.exporters.sequences.formats import FORMATS
from imavatar_deploy.exporters.sequences.motion import Motion, open_motion
from imavatar_deploy.exporters.sequences.neutral_colours import (
    neutral_texture,
    with_neutral_colours,
)
from imavatar_deploy.exporters.sequences.obj import write_textured_obj
from imavatar_deploy.exporters.srgb import linear
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.rendering.posing import pose_plainly, vertex_normals
from imavatar_deploy.retarget import ARKIT_NAMES

from ..exporters.test_gltf import LICENCE
from ..tiny_avatar import tiny_avatar
from .programs import PYTHON, has_module, run_python_program, run_three

NEAR = 1.5e-4
"""Metres."""

KEYS = (0, 7, 19)
"""Frames that are compared."""


@pytest.fixture(scope="module")
def motion(tiny_avatar_folder: Path) -> Motion:
    """A motion with weights from -0.8 to 1.6, which programs clamp to 0..1."""
    motion = open_motion(tiny_avatar_folder, "talk", frames=slice(40, 60))
    expression = motion.track.expression.copy()
    expression[:, 3] = np.linspace(-0.8, 1.6, len(motion))
    expression[:, 9] = np.linspace(1.6, -0.8, len(motion))
    track = replace(motion.track, expression=expression)
    return with_neutral_colours(replace(motion, track=track))


@pytest.fixture(scope="module")
def baked(motion: Motion, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("consumers") / "baked"
    names = ("glb", "usd", "usdz", "abc", "ply", "obj")
    bake_motion(motion, out, [FORMATS[name] for name in names])
    return out


@pytest.fixture(scope="module")
def head() -> Avatar:
    names = HeadModel.load("openhead").expression_names
    return replace(with_four_influences(tiny_avatar()), expression_names=names)


def write_head(path: Path, head: Avatar, version: str) -> Path:
    colours = np.random.default_rng(1).random((head.vertex_count, 3)).astype(np.float32)
    settings = GlbSettings(vrm=VrmSettings(version=version))
    write_vrm(path, head, colours, licence=LICENCE, title="egg", settings=settings)
    return path


def expected(motion: Motion, key: int, *, four: bool) -> Float64[Array, "V 3"]:
    avatar = with_four_influences(motion.avatar) if four else motion.avatar
    expression, pose = motion.track.expression[key], motion.track.pose[key]
    posed = pose_plainly(avatar, expression, pose).vertices / UNITS_PER_METRE
    return np.asarray(posed, dtype=np.float64)


class TestBlender:
    @pytest.mark.parametrize("name", ["glb", "usd", "usdz", "abc"])
    def test_a_clip_with_any_weights_is_the_avatars_motion(
        self, name: str, motion: Motion, baked: Path, tmp_path: Path
    ) -> None:
        frames = ",".join(map(str, KEYS))
        path, out = baked / f"head.{name}", tmp_path / "out.npz"
        seen = run_python_program("bpy", "blender.py", path, 25, frames, out)
        for key in KEYS:
            truth = expected(motion, key, four=name == "glb")
            assert np.abs(seen[f"frame_{key}"] - truth).max() <= NEAR, key

    @pytest.mark.parametrize(
        ("name", "source"),
        [("glb", "VERTEX_COLOR"), ("usd", "ATTRIBUTE displayColor"), ("usdz", "TEX_IMAGE")],
    )
    def test_the_material_shows_the_colours(
        self, name: str, source: str, motion: Motion, baked: Path, tmp_path: Path
    ) -> None:
        path, out = baked / f"head.{name}", tmp_path / "out.npz"
        seen = run_python_program("bpy", "blender.py", path, 25, 0, out)
        assert list(seen["base_colours"]) == [source]
        assert motion.neutral is not None
        assert np.abs(seen["colours"] - linear(motion.neutral)).max() < 0.01

    def test_alembic_has_the_colours_as_an_attribute(
        self, motion: Motion, baked: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "out.npz"
        seen = run_python_program("bpy", "blender.py", baked / "head.abc", 25, 0, out)
        assert list(seen["colour_names"]) == ["Cd"]

    @pytest.mark.parametrize("name", ["glb", "usd"])
    def test_the_bones_are_one_tree(self, name: str, baked: Path, tmp_path: Path) -> None:
        path, out = baked / f"head.{name}", tmp_path / "out.npz"
        seen = run_python_program("bpy", "blender.py", path, 25, 0, out)
        assert list(seen["roots"]) == ["ghost"]

    def test_an_fbx_is_the_glb_again(self, motion: Motion, baked: Path, tmp_path: Path) -> None:
        if not has_module("bpy"):
            pytest.skip("bpy is not there: make consumers installs it")
        convert(baked / "head.glb", tmp_path / "a.fbx", motion.fps, PYTHON)
        frames = ",".join(str(key + 1) for key in KEYS)  # FBX counts from one
        out = tmp_path / "out.npz"
        seen = run_python_program("bpy", "blender.py", tmp_path / "a.fbx", 25, frames, out)
        for key in KEYS:
            truth = expected(motion, key, four=True)
            assert np.abs(seen[f"frame_{key + 1}"] - truth).max() <= NEAR, key
        assert "expression3" in list(seen["shapes"])


class TestVtk:
    """Its reader, which F3D, ParaView and PyVista use, ended the program at sparse accessors."""

    def test_reads_a_glb_with_its_colours(
        self, motion: Motion, baked: Path, tmp_path: Path
    ) -> None:
        seen = run_python_program("vtk", "vtk_reader.py", baked / "head.glb", tmp_path / "out.npz")
        assert seen["points"] == pytest.approx(motion.avatar.rest.T / UNITS_PER_METRE, abs=1e-6)
        assert motion.neutral is not None
        assert np.abs(seen["colours"][:, :3] - linear(motion.neutral)).max() < 1e-5
        assert seen["targets"] > 50

    @pytest.mark.parametrize("version", ["0", "1"])
    def test_reads_a_vrm_with_sparse_targets(
        self, version: str, head: Avatar, tmp_path: Path
    ) -> None:
        basis = head.expression_basis.copy()
        basis[:, :, 20:] = 0.0
        path = write_head(tmp_path / "a.vrm", replace(head, expression_basis=basis), version)
        seen = run_python_program("vtk", "vtk_reader.py", path, tmp_path / "out.npz")
        assert len(seen["points"]) == head.vertex_count
        assert seen["targets"] == 51


class TestMeshLab:
    @pytest.mark.parametrize("name", ["ply", "obj"])
    def test_shows_the_colours_of_a_mesh(
        self, name: str, motion: Motion, baked: Path, tmp_path: Path
    ) -> None:
        path = baked / name / f"frame_000000.{name}"
        seen = run_python_program("pymeshlab", "meshlab.py", path, tmp_path / "out.npz")
        assert motion.neutral is not None
        assert np.abs(seen["colours"] - motion.neutral).max() < 0.01

    def test_shows_the_colours_of_a_glb(self, motion: Motion, baked: Path, tmp_path: Path) -> None:
        path = baked / "head.glb"
        seen = run_python_program("pymeshlab", "meshlab.py", path, tmp_path / "out.npz")
        assert motion.neutral is not None
        # MeshLab shows the linear light of the file as it is.
        assert np.abs(seen["colours"] - linear(motion.neutral)).max() < 0.01


class TestOpen3d:
    @pytest.mark.parametrize("name", ["ply", "obj", "glb"])
    def test_reads_the_rest_mesh(
        self, name: str, motion: Motion, baked: Path, tmp_path: Path
    ) -> None:
        path = baked / ("head.glb" if name == "glb" else f"{name}/frame_000000.{name}")
        seen = run_python_program("open3d", "open3d_reader.py", path, tmp_path / "out.npz")
        rest = motion.avatar.rest.T / UNITS_PER_METRE
        truth = rest if name == "glb" else expected(motion, 0, four=False)
        assert len(seen["triangles"]) == len(motion.avatar.faces)
        corners = seen["points"][seen["triangles"]]
        assert np.abs(corners - truth[motion.avatar.faces]).max() <= NEAR
        assert motion.neutral is not None
        shown = linear(motion.neutral) if name == "glb" else motion.neutral
        coloured = seen["colours"][seen["triangles"]]
        assert np.abs(coloured - shown[motion.avatar.faces]).max() < 0.01


class TestTexturedObj:
    """A mesh of `--mesh-colour texture`, with its material and image."""

    @pytest.fixture
    def path(self, motion: Motion, tmp_path: Path) -> Path:
        posed = expected(motion, KEYS[1], four=False).astype(np.float32)
        normals = vertex_normals(posed, motion.avatar.faces)
        channels = {"vertices": posed, "normals": normals}
        path = tmp_path / "face.obj"
        write_textured_obj(path, motion.avatar.faces, channels, neutral_texture(motion))
        return path

    def test_blender_shows_the_image(self, motion: Motion, path: Path, tmp_path: Path) -> None:
        seen = run_python_program("bpy", "blender.py", path, 25, 0, tmp_path / "out.npz")
        truth = expected(motion, KEYS[1], four=False)
        assert np.abs(seen["frame_0"] - truth).max() <= NEAR
        assert list(seen["base_colours"]) == ["TEX_IMAGE"]

    def test_open3d_reads_the_image(self, motion: Motion, path: Path, tmp_path: Path) -> None:
        seen = run_python_program("open3d", "open3d_reader.py", path, tmp_path / "out.npz")
        assert len(seen["uvs"]) == motion.avatar.faces.size
        assert seen["images"] == 1

    def test_meshlab_reads_the_mesh(self, motion: Motion, path: Path, tmp_path: Path) -> None:
        seen = run_python_program("pymeshlab", "meshlab.py", path, tmp_path / "out.npz")
        assert len(seen["points"]) == motion.avatar.vertex_count


class TestThree:
    def test_a_clip_with_any_weights_is_the_avatars_motion(
        self, motion: Motion, baked: Path, tmp_path: Path
    ) -> None:
        requests = [{"time": key / motion.fps} for key in KEYS]
        seen = run_three(baked / "head.glb", requests, tmp_path / "out.json")
        for key, vertices in zip(KEYS, seen["frames"], strict=True):
            truth = expected(motion, key, four=True)
            assert np.abs(np.array(vertices) - truth).max() <= NEAR, key
        assert seen["material"] == "MeshBasicMaterial"
        assert motion.neutral is not None
        colours = np.array(seen["colours"]).reshape(-1, 4)[:, :3]
        assert np.abs(colours - linear(motion.neutral)).max() < 1e-5

    @pytest.mark.parametrize("compression", ["quantize", "meshopt"])
    def test_a_compressed_clip_is_the_avatars_motion(
        self, compression: str, motion: Motion, tmp_path: Path
    ) -> None:
        if compression == "meshopt":
            pytest.importorskip("meshoptimizer", reason="the extra meshopt is not installed")
        assert motion.neutral is not None
        write_glb(
            tmp_path / "a.glb",
            motion.avatar,
            motion.neutral,
            licence=LICENCE,
            track=motion.track,
            settings=GlbSettings(compression=compression),
        )
        requests = [{"time": key / motion.fps} for key in KEYS]
        seen = run_three(tmp_path / "a.glb", requests, tmp_path / "out.json")
        for key, vertices in zip(KEYS, seen["frames"], strict=True):
            truth = expected(motion, key, four=True)
            assert np.abs(np.array(vertices) - truth).max() <= NEAR, key

    @pytest.mark.parametrize("version", ["0", "1"])
    def test_a_vrm_has_bones_expressions_and_presets(
        self, version: str, head: Avatar, tmp_path: Path
    ) -> None:
        path = write_head(tmp_path / "a.vrm", head, version)
        names = ["MouthSmileLeft", "JawOpen", "blink", "aa", "happy"]
        requests = [{}, *({"expression": name} for name in names)]
        seen = run_three(path, requests, tmp_path / "out.json")
        assert {*(name[0].upper() + name[1:] for name in ARKIT_NAMES)} <= {*seen["expressions"]}
        assert {"hips", "spine", "neck", "head", "leftEye", "rightEye"} <= {*seen["bones"]}
        still, smile, *others = (np.array(vertices) for vertices in seen["frames"])
        side = np.array([-1, 1, -1] if version == "0" else [1, 1, 1])
        height = np.array([0, HEAD_HEIGHT, 0])
        rest = head.rest.T / UNITS_PER_METRE
        assert np.abs(still - (rest * side + height)).max() <= NEAR
        smiling = head.expression_basis[head.expression_names.index("mouthSmileLeft")].T
        offset = smiling / UNITS_PER_METRE * side
        assert np.abs(smile - still - offset).max() <= NEAR
        assert all(np.abs(moved - still).max() > NEAR for moved in others)
