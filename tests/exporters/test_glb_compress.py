"""Compressed GLB files: sizes, and the same motion as without compression."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.conventions import BONES, UNITS_PER_METRE
from imavatar_deploy.errors import UsageError
from imavatar_deploy.exporters.export import export_avatar
from imavatar_deploy.exporters.fidelity.reference_poses import reference_poses
from imavatar_deploy.exporters.formats.gltf.compression import (
    joints_in_use,
    weights_as_integers,
)
from imavatar_deploy.exporters.formats.gltf.glb import write_glb
from imavatar_deploy.exporters.formats.gltf.losses import live
from imavatar_deploy.exporters.formats.gltf.morph_targets import (
    JAW_CORRECTIVE,
    JAW_OPEN,
    with_four_influences,
)
from imavatar_deploy.exporters.formats.gltf.reader import GlbPlayback
from imavatar_deploy.exporters.formats.gltf.settings import GlbSettings
from imavatar_deploy.exporters.settings import ExportSettings
from imavatar_deploy.exporters.skeleton import bone_rotations
from imavatar_deploy.exporters.srgb import linear
from imavatar_deploy.rendering.posing import pose_plainly
from imavatar_deploy.tracks import read_track

from ..tiny_avatar import tiny_avatar
from .test_glb_format import SMALL
from .test_gltf import LICENCE, document, khronos

COMPRESSED = [
    "quantize",
    pytest.param(
        "meshopt",
        marks=pytest.mark.skipif(
            importlib.util.find_spec("meshoptimizer") is None,
            reason="meshoptimizer is not installed (extra meshopt)",
        ),
    ),
]


@pytest.fixture(scope="module")
def head() -> Avatar:
    return tiny_avatar(rings=24, sectors=32)


def write(path: Path, head: Avatar, compression: str, **choices: Any) -> int:
    colours = np.random.default_rng(1).random((head.vertex_count, 3)).astype(np.float32)
    settings = GlbSettings(compression=compression)
    return write_glb(path, head, colours, licence=LICENCE, settings=settings, **choices).bytes


@pytest.mark.parametrize("compression", COMPRESSED)
class TestCompressed:
    def test_moves_as_the_avatar_does(self, compression: str, head: Avatar, tmp_path: Path) -> None:
        talk = read_track("talk").select(slice(40, 60))
        write(tmp_path / "a.glb", head, compression, track=talk)
        file = GlbPlayback(tmp_path / "a.glb")
        poses = reference_poses(head.edition)
        for expression, pose in zip(poses.expression, poses.pose, strict=True):
            weights = dict(zip(head.expression_names, expression.tolist(), strict=True))
            weights[JAW_CORRECTIVE] = float(pose[6]) / JAW_OPEN
            bones = dict(zip(BONES, bone_rotations(pose), strict=True))
            truth = pose_plainly(live(head, pose), expression, pose).vertices / UNITS_PER_METRE
            assert np.abs(file.pose_vertices(weights, bones) - truth).max() <= 1e-4
        limited = with_four_influences(head)
        for key in (0, 19):
            truth = pose_plainly(limited, talk.expression[key], talk.pose[key]).vertices
            assert np.abs(file.at_key(key) - truth / UNITS_PER_METRE).max() <= 1e-4

    def test_faces_and_colours_stay(self, compression: str, head: Avatar, tmp_path: Path) -> None:
        write(tmp_path / "a.glb", head, compression)
        file = GlbPlayback(tmp_path / "a.glb")
        faces = file.array(file.primitive.indices).reshape(-1, 3)
        first = np.argmin(faces, axis=1)
        ordered = np.take_along_axis(faces, (first[:, None] + np.arange(3)) % 3, axis=1)
        expected_first = np.argmin(head.faces, axis=1)
        expected = np.take_along_axis(
            head.faces, (expected_first[:, None] + np.arange(3)) % 3, axis=1
        )
        assert np.array_equal(ordered, expected)
        colours = np.random.default_rng(1).random((head.vertex_count, 3)).astype(np.float32)
        assert np.abs(file.attribute("COLOR_0")[:, :3] - linear(colours)).max() < 1e-4
        normals = np.linalg.norm(file.attribute("NORMAL"), axis=1)
        assert normals == pytest.approx(1, abs=0.02)

    def test_is_smaller(self, compression: str, head: Avatar, tmp_path: Path) -> None:
        basis = np.zeros_like(head.expression_basis)
        basis[:, :, :300] = 0.05  # smooth, as a face's
        smooth = replace(head, expression_basis=basis)
        plain = write(tmp_path / "a.glb", smooth, "none")
        share = write(tmp_path / "b.glb", smooth, compression) / plain
        assert share < {"quantize": 0.85, "meshopt": 0.35}[compression]

    def test_extensions_are_required(self, compression: str, head: Avatar, tmp_path: Path) -> None:
        write(tmp_path / "a.glb", head, compression)
        required = {"quantize": ["KHR_mesh_quantization"]}
        required["meshopt"] = [*required["quantize"], "EXT_meshopt_compression"]
        glb = document(tmp_path / "a.glb")
        assert glb["extensionsRequired"] == required[compression]
        assert set(required[compression]) <= set(glb["extensionsUsed"])


def test_khronos_accepts_quantised_files(head: Avatar, tmp_path: Path) -> None:
    write(tmp_path / "a.glb", head, "quantize")
    result = khronos(tmp_path / "a.glb")
    assert ": 0 errors, 0 warnings" in result.stdout, result.stdout + result.stderr


def test_an_export_is_compared_with_the_avatars_posing(checkpoint: Path, tmp_path: Path) -> None:
    settings = ExportSettings(formats=("glb",), glb=GlbSettings(compression="quantize"), **SMALL)
    report = export_avatar(checkpoint, tmp_path / "head", settings)
    assert [parity.passed for parity in report.parity] == [True]


def test_integer_weights_sum_to_one() -> None:
    weights = np.sort(np.random.default_rng(3).random((500, 4)), axis=1)[:, ::-1]
    weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    integers = weights_as_integers(weights)
    assert set(integers.astype(int).sum(axis=1)) == {65535}
    assert np.abs(integers / 65535 - weights).max() < 4e-5


def test_an_unknown_compression() -> None:
    with pytest.raises(UsageError):
        GlbSettings(compression="zip")


def test_joints_whose_weight_rounds_to_zero_are_zero() -> None:
    """Khronos' validator warns of others, and needs node to say so."""
    joints = np.array([[1, 2, 3, 4], [1, 2, 0, 0]], dtype=np.uint8)
    weights = np.array([[0.6, 0.3, 0.1, 1e-6], [0.5, 0.5, 0.0, 0.0]], dtype=np.float32)
    assert joints_in_use(joints, weights).tolist() == [[1, 2, 3, 0], [1, 2, 0, 0]]
