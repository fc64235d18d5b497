"""A GLB read by trimesh, by pygltflib with the specification's skinning, by Khronos' validator."""

from __future__ import annotations

import json
import os
import shutil
import struct
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
import trimesh

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.conventions import BONES, UNITS_PER_METRE
from imavatar_deploy.errors import EditionMismatchError, InputError, UsageError
from imavatar_deploy.exporters.fidelity.reference_poses import reference_poses
from imavatar_deploy.exporters.formats.gltf.container import Container
from imavatar_deploy.exporters.formats.gltf.glb import GlbFacts, write_glb
from imavatar_deploy.exporters.formats.gltf.losses import GLB_LIMITS, VRM_LIMITS, live, losses_mm
from imavatar_deploy.exporters.formats.gltf.morph_targets import (
    JAW_CORRECTIVE,
    JAW_OPEN,
    MIN_OFFSET_MM,
    open_jaw,
    strongest,
    with_fixed_joints,
    with_four_influences,
)
from imavatar_deploy.exporters.formats.gltf.pose_correctives import CORRECTIVE_TOLERANCE_MM
from imavatar_deploy.exporters.formats.gltf.reader import GlbFile, GlbPlayback
from imavatar_deploy.exporters.formats.gltf.settings import GlbSettings
from imavatar_deploy.exporters.formats.gltf.vrm import write_vrm
from imavatar_deploy.exporters.skeleton import bone_rotations
from imavatar_deploy.rendering.posing import pose_plainly
from imavatar_deploy.tracks import FlameTrack, read_track

from ..processes import run_process, run_python
from ..tiny_avatar import tiny_avatar

Colours = Float32[Array, "V 3"]

TOLERANCE = 1e-4
"""Metres."""

LICENCE = {
    "head_model": "openhead",
    "conditions": "CC0",
    "source_sha256": "0" * 64,
    "data": "none",
    "use": "any",
}
TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture(scope="module")
def head() -> Avatar:
    return tiny_avatar()


@pytest.fixture(scope="module")
def colours(head: Avatar) -> Colours:
    return np.random.default_rng(1).random((head.vertex_count, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def talk() -> FlameTrack:
    return read_track("talk").select(slice(40, 80))


@pytest.fixture(scope="module")
def written(
    head: Avatar, colours: Colours, talk: FlameTrack, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, GlbFacts]:
    path = tmp_path_factory.mktemp("glb") / "head.glb"
    return path, write_glb(path, head, colours, licence=LICENCE, track=talk)


@pytest.fixture(scope="module")
def playback(written: tuple[Path, GlbFacts]) -> GlbPlayback:
    return GlbPlayback(written[0])


def document(path: Path) -> dict[str, Any]:
    """The JSON of a GLB, by the container's own layout."""
    data = path.read_bytes()
    magic, version, length, size, kind = struct.unpack("<4sIII4s", data[:20])
    assert (magic, version, length, kind) == (b"glTF", 2, len(data), b"JSON")
    parsed: dict[str, Any] = json.loads(data[20 : 20 + size])
    return parsed


def rotations(pose: Float32[Array, "15"]) -> dict[str, Float32[Array, "4"]]:
    return dict(zip(BONES, bone_rotations(pose), strict=True))


class TestContent:
    def test_mesh_is_metres_closed_and_wound_outward(
        self, head: Avatar, written: tuple[Path, GlbFacts]
    ) -> None:
        mesh = trimesh.load(written[0], force="mesh", process=False)
        assert mesh.vertices == pytest.approx(head.rest.T / UNITS_PER_METRE, abs=1e-7)
        assert mesh.is_watertight
        assert mesh.volume > 0
        assert (mesh.vertex_normals * mesh.vertices).sum(axis=1).min() > 0

    def test_has_the_licence(self, written: tuple[Path, GlbFacts]) -> None:
        asset = document(written[0])["asset"]
        assert asset["version"] == "2.0"
        assert asset["copyright"] == "CC0"
        assert asset["extras"]["licence"] == LICENCE

    def test_facts_describe_the_file(
        self, head: Avatar, written: tuple[Path, GlbFacts], talk: FlameTrack
    ) -> None:
        path, facts = written
        assert facts.bytes == path.stat().st_size
        assert (facts.vertices, facts.faces, facts.frames) == (
            head.vertex_count,
            len(head.faces),
            len(talk),
        )
        assert facts.targets == tuple(document(path)["meshes"][0]["extras"]["targetNames"])
        assert json.loads(json.dumps(facts.as_dict()))["targets"] == list(facts.targets)

    def test_targets_carry_the_names_of_the_expressions(
        self, head: Avatar, playback: GlbPlayback
    ) -> None:
        assert playback.names[:51] == [*head.expression_names, JAW_CORRECTIVE]
        assert playback.names[51:] == [
            name
            for name in playback.names
            if name.startswith("clipCorrective") or name.endswith(("Below", "Above"))
        ]
        assert "clipCorrective0" in playback.names

    def test_colours_are_linear_light(
        self, colours: Colours, playback: GlbPlayback, written: tuple[Path, GlbFacts]
    ) -> None:
        linear = playback.attribute("COLOR_0")
        assert linear[:, 3] == pytest.approx(1)
        bright = colours > 0.05
        assert (((colours + 0.055) / 1.055) ** 2.4)[bright] == pytest.approx(
            linear[:, :3][bright], abs=1e-4
        )
        assert document(written[0])["materials"][0]["extensions"] == {"KHR_materials_unlit": {}}

    def test_bones_are_at_the_joints(self, head: Avatar, playback: GlbPlayback) -> None:
        assert playback.bones == ["ghost", *BONES]
        matrices = (
            playback.array(playback.structure.skins[0].inverseBindMatrices)
            .reshape(-1, 4, 4)
            .transpose(0, 2, 1)
        )
        assert matrices[1:, :3, 3] == pytest.approx(-head.joints_rest / UNITS_PER_METRE, abs=1e-7)
        assert matrices[:, :3, :3] == pytest.approx(np.broadcast_to(np.eye(3), (6, 3, 3)))

    def test_four_influences_sum_to_one(self, playback: GlbPlayback) -> None:
        weights, joints = playback.attribute("WEIGHTS_0"), playback.attribute("JOINTS_0")
        assert weights.sum(axis=1) == pytest.approx(1, abs=1e-6)
        assert (np.diff(weights, axis=1) <= 0).all()
        assert all(len(set(row)) == 4 for row in joints[(weights > 0).all(axis=1)])


class TestMotion:
    def test_live_poses_agree_with_the_limited_avatar(
        self, head: Avatar, playback: GlbPlayback
    ) -> None:
        poses = reference_poses(head.edition)
        for expression, pose in zip(poses.expression, poses.pose, strict=True):
            weights = dict(zip(head.expression_names, expression.tolist(), strict=True))
            weights[JAW_CORRECTIVE] = float(pose[6]) / JAW_OPEN
            expected = pose_plainly(live(head, pose), expression, pose).vertices / UNITS_PER_METRE
            assert (
                np.abs(playback.pose_vertices(weights, rotations(pose)) - expected).max()
                <= TOLERANCE
            )

    def test_open_jaw_has_its_corrective(self, head: Avatar, playback: GlbPlayback) -> None:
        expected = pose_plainly(
            with_four_influences(head), np.zeros(50, np.float32), open_jaw()
        ).vertices
        values = playback.pose_vertices({JAW_CORRECTIVE: 1.0}, rotations(open_jaw()))
        assert np.abs(values - expected / UNITS_PER_METRE).max() <= TOLERANCE

    def test_clip_holds_correctives_and_moving_joints(
        self, head: Avatar, talk: FlameTrack, playback: GlbPlayback, written: tuple[Path, GlbFacts]
    ) -> None:
        whole = with_four_influences(head)
        times = playback.array(playback.structure.animations[0].samplers[0].input)
        assert times == pytest.approx(np.arange(len(talk)) / talk.fps)
        assert 0 < written[1].corrective_error_mm <= CORRECTIVE_TOLERANCE_MM
        for key in (0, 17, len(talk) - 1):
            expected = (
                pose_plainly(whole, talk.expression[key], talk.pose[key]).vertices / UNITS_PER_METRE
            )
            assert np.abs(playback.at_key(key) - expected).max() <= TOLERANCE

    def test_an_avatar_whose_correctives_are_the_jaws_needs_no_more_targets(
        self, head: Avatar, colours: Colours, talk: FlameTrack, tmp_path: Path
    ) -> None:
        basis = np.zeros_like(head.pose_basis)
        basis[13] = head.pose_basis[13]
        facts = write_glb(
            tmp_path / "a.glb",
            replace(head, pose_basis=basis),
            colours,
            licence=LICENCE,
            track=talk,
        )
        assert facts.targets[-1] == JAW_CORRECTIVE

    def test_five_bones_have_no_ghost(self, colours: Colours, tmp_path: Path) -> None:
        head = tiny_avatar(bones=5)
        write_glb(tmp_path / "a.glb", head, colours, licence=LICENCE)
        file, pose = GlbPlayback(tmp_path / "a.glb"), reference_poses(head.edition).pose[2]
        expected = (
            pose_plainly(live(head, pose), np.zeros(50, np.float32), pose).vertices
            / UNITS_PER_METRE
        )
        weights = {JAW_CORRECTIVE: float(pose[6]) / JAW_OPEN}
        assert file.bones == list(BONES)
        assert np.abs(file.pose_vertices(weights, rotations(pose)) - expected).max() <= TOLERANCE


class TestLosses:
    def test_each_limit_has_a_loss(self, head: Avatar) -> None:
        poses = reference_poses(head.edition)
        for limits in (GLB_LIMITS, VRM_LIMITS):
            lost = losses_mm(head, limits, poses.expression, poses.pose)
            assert set(lost) == set(limits)
            assert min(lost.values()) > 0

    def test_the_corrective_target_reduces_the_loss_of_the_jaw(self, head: Avatar) -> None:
        basis = np.zeros_like(head.pose_basis)
        # Entry 13 follows the cosine of the jaw's angle, unlike the weight; entry 14 follows its
        # sine, which the weight approximates.
        basis[13] = head.pose_basis[13]
        basis[14] = 10 * head.pose_basis[14]
        limited = with_fixed_joints(with_four_influences(replace(head, pose_basis=basis)))
        lost = losses_mm(limited, GLB_LIMITS, np.zeros((1, 50), np.float32), 0.5 * open_jaw()[None])
        assert (
            lost["driven live, all together"] < 0.1 * lost["driven live without jawOpenCorrective"]
        )

    def test_an_avatar_within_the_limits_loses_nothing(self, head: Avatar) -> None:
        poses = reference_poses(head.edition)
        limited = with_fixed_joints(
            with_four_influences(replace(head, pose_basis=np.zeros_like(head.pose_basis)))
        )
        assert max(losses_mm(limited, GLB_LIMITS, poses.expression, poses.pose).values()) < 1e-4

    def test_weight_lost_is_what_four_leave_out(self) -> None:
        weights = np.array(
            [[0.5, 1.0], [0.2, 0.0], [0.15, 0.0], [0.1, 0.0], [0.05, 0.0]], dtype=np.float32
        )
        remaining = strongest(weights)
        assert remaining.lost == pytest.approx(0.05)
        assert remaining.weights[0] == pytest.approx(np.array([0.5, 0.2, 0.15, 0.1]) / 0.95)
        assert remaining.joints.tolist() == [[0, 1, 2, 3], [0, 0, 0, 0]]


class TestTargets:
    def test_small_offsets_are_left_out(
        self, head: Avatar, colours: Colours, tmp_path: Path
    ) -> None:
        basis = head.expression_basis.copy()
        basis[:, :, 20:] *= 1e-3
        facts = write_glb(
            tmp_path / "a.glb", replace(head, expression_basis=basis), colours, licence=LICENCE
        )
        whole = write_glb(tmp_path / "b.glb", head, colours, licence=LICENCE)
        assert facts.bytes < 0.5 * whole.bytes
        file = GlbPlayback(tmp_path / "a.glb")
        values = file.array(file.primitive.targets[3]["POSITION"])
        assert file.structure.accessors[file.primitive.targets[3]["POSITION"]].sparse is not None
        assert np.abs(values - basis[3].T / UNITS_PER_METRE).max() <= MIN_OFFSET_MM * 1e-3
        assert not values[20:].any()

    def test_a_target_that_moves_nothing_is_written(
        self, head: Avatar, colours: Colours, tmp_path: Path
    ) -> None:
        still = replace(head, expression_basis=np.zeros_like(head.expression_basis))
        assert len(write_glb(tmp_path / "a.glb", still, colours, licence=LICENCE).targets) == 51

    def test_a_cap_keeps_the_largest(
        self, head: Avatar, colours: Colours, talk: FlameTrack, tmp_path: Path
    ) -> None:
        basis = head.expression_basis * 1.2 ** np.arange(50, dtype=np.float32)[:, None, None]
        settings = GlbSettings(max_targets=30)
        facts = write_glb(
            tmp_path / "a.glb",
            replace(head, expression_basis=basis),
            colours,
            licence=LICENCE,
            track=talk,
            settings=settings,
        )
        remaining = [name for name in facts.targets if name.startswith("expression")]
        assert len(facts.targets) == 30
        assert remaining == list(head.expression_names[-len(remaining) :])
        assert set(facts.dropped_mm) == set(head.expression_names) - set(remaining)
        assert min(facts.dropped_mm.values()) > 0

    def test_a_cap_below_the_correctives_is_refused(
        self, head: Avatar, colours: Colours, talk: FlameTrack, tmp_path: Path
    ) -> None:
        with pytest.raises(UsageError, match=r"need \d+ morph targets, got a limit of 1"):
            write_glb(
                tmp_path / "a.glb",
                head,
                colours,
                licence=LICENCE,
                track=talk,
                settings=GlbSettings(max_targets=1),
            )
        assert not list(tmp_path.iterdir())

    def test_normals_of_targets_are_optional(
        self, head: Avatar, colours: Colours, tmp_path: Path
    ) -> None:
        write_glb(
            tmp_path / "a.glb",
            head,
            colours,
            licence=LICENCE,
            settings=GlbSettings(target_normals=True),
        )
        file = GlbPlayback(tmp_path / "a.glb")
        moved = trimesh.Trimesh((head.rest + head.expression_basis[5]).T, head.faces, process=False)
        rest = trimesh.Trimesh(head.rest.T, head.faces, process=False)
        values = file.array(file.primitive.targets[5]["NORMAL"])
        assert file.structure.accessors[file.primitive.targets[5]["NORMAL"]].type == "VEC3"
        assert np.abs(values - (moved.vertex_normals - rest.vertex_normals)).max() < 0.05


def test_sparse_round_trip(tmp_path: Path) -> None:
    values = np.zeros((1000, 3), dtype=np.float32)
    values[[3, 500, 999]] = np.random.default_rng(2).normal(size=(3, 3))
    container = Container({"asset": {"version": "2.0"}})
    assert container.add_sparse(values, bounds=True) == 0
    accessor = container.document["accessors"][0]
    assert accessor["sparse"]["count"] == 3
    # VTK's reader ends with std::bad_alloc without these, although they are optional.
    assert accessor["sparse"]["indices"]["byteOffset"] == 0
    assert accessor["sparse"]["values"]["byteOffset"] == 0
    assert (accessor["min"], accessor["max"]) == (
        values.min(axis=0).tolist(),
        values.max(axis=0).tolist(),
    )
    assert container.write(tmp_path / "a.glb") < 1000
    assert np.array_equal(GlbFile(tmp_path / "a.glb").array(0), values)


@pytest.mark.parametrize(("rows", "sparse"), [(1, True), (400, True), (600, False), (850, False)])
def test_an_accessor_with_most_rows_is_dense(rows: int, sparse: bool, tmp_path: Path) -> None:
    values = np.zeros((1000, 3), dtype=np.float32)
    values[:rows] = np.random.default_rng(2).normal(size=(rows, 3))
    container = Container({"asset": {"version": "2.0"}})
    container.add_sparse(values, bounds=True)
    assert ("sparse" in container.document["accessors"][0]) == sparse
    container.write(tmp_path / "a.glb")
    assert np.array_equal(GlbFile(tmp_path / "a.glb").array(0), values)


class TestMaterial:
    def test_colours_are_floats(self, written: tuple[Path, GlbFacts]) -> None:
        glb = document(written[0])
        colour = glb["accessors"][glb["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"]]
        assert (colour["componentType"], colour["type"]) == (5126, "VEC4")
        assert not colour.get("normalized")

    @pytest.mark.parametrize("suffix", ["glb", "vrm"])
    def test_a_lit_one_has_no_extension_and_normals_of_targets(
        self, suffix: str, head: Avatar, colours: Colours, tmp_path: Path
    ) -> None:
        path, settings = tmp_path / f"a.{suffix}", GlbSettings(material="lit")
        if suffix == "glb":
            write_glb(path, head, colours, licence=LICENCE, settings=settings)
        else:
            write_vrm(path, head, colours, licence=LICENCE, title="lit", settings=settings)
        glb = document(path)
        (material,) = glb["materials"]
        assert "extensions" not in material
        assert "KHR_materials_unlit" not in glb.get("extensionsUsed", [])
        assert material["pbrMetallicRoughness"] == {"metallicFactor": 0.0, "roughnessFactor": 1.0}
        (primitive,) = glb["meshes"][0]["primitives"]
        assert "NORMAL" in primitive["attributes"]
        assert all("NORMAL" in target for target in primitive["targets"])


class TestWeightsOfAClip:
    """Programs limit the weights that they import to 0..1."""

    @pytest.fixture
    def wild(self, talk: FlameTrack) -> FlameTrack:
        """A motion with weights from -0.8 to 1.6, and a jaw beyond its widest opening."""
        expression = talk.expression.copy()
        expression[:, 3] = np.linspace(-0.8, 1.6, len(talk))
        expression[:, 7] = np.linspace(0.0, 1.6, len(talk))
        expression[:, 9] = np.linspace(-0.8, 0.0, len(talk))
        expression[:, 11] = np.linspace(-0.8, -0.2, len(talk))
        pose = talk.pose.copy()
        pose[:, 6] = np.linspace(-0.1, 0.6, len(talk))
        return replace(talk, expression=expression, pose=pose)

    def test_are_within_0_and_1_and_move_the_mesh_as_before(
        self, head: Avatar, colours: Colours, wild: FlameTrack, tmp_path: Path
    ) -> None:
        write_glb(tmp_path / "a.glb", head, colours, licence=LICENCE, track=wild)
        file = GlbPlayback(tmp_path / "a.glb")
        weights = clip_weights(file)
        assert (weights.min(), weights.max()) == (0.0, 1.0)
        limited = with_four_influences(head)
        for key in (0, 13, len(wild) - 1):
            expected = pose_plainly(limited, wild.expression[key], wild.pose[key]).vertices
            assert np.abs(file.at_key(key) - expected / UNITS_PER_METRE).max() <= TOLERANCE

    def test_targets_keep_their_names_and_sizes(
        self, head: Avatar, colours: Colours, wild: FlameTrack, tmp_path: Path
    ) -> None:
        facts = write_glb(tmp_path / "a.glb", head, colours, licence=LICENCE, track=wild)
        file = GlbPlayback(tmp_path / "a.glb")
        ends = ("Below", "Above")
        assert {name for name in facts.targets if name.endswith(ends) and "on" in name[:12]} >= {
            "expression3Below",
            "expression3Above",
            "expression7Above",
            "expression9Below",
            "expression11Below",
        }
        assert "expression7Below" not in facts.targets
        assert "expression9Above" not in facts.targets
        assert {f"{JAW_CORRECTIVE}Below", f"{JAW_CORRECTIVE}Above"} <= set(facts.targets)
        offset = file.array(file.primitive.targets[7]["POSITION"])
        assert np.abs(offset - head.expression_basis[7].T / UNITS_PER_METRE).max() < 1e-5

    def test_a_cap_counts_the_additional_targets(
        self, head: Avatar, colours: Colours, wild: FlameTrack, tmp_path: Path
    ) -> None:
        settings = GlbSettings(max_targets=35)
        facts = write_glb(
            tmp_path / "a.glb", head, colours, licence=LICENCE, track=wild, settings=settings
        )
        assert len(facts.targets) <= 35
        assert len(facts.targets) > 30
        weights = clip_weights(GlbPlayback(tmp_path / "a.glb"))
        assert 0 <= weights.min() <= weights.max() <= 1


def clip_weights(file: GlbPlayback) -> Float32[Array, "T M"]:
    """Weights of all targets in the clip."""
    animation = file.structure.animations[0]
    (channel,) = (channel for channel in animation.channels if channel.target.path == "weights")
    values = file.array(animation.samplers[channel.sampler].output)
    return np.asarray(values.reshape(-1, len(file.names)), dtype=np.float32)


class TestRefusals:
    def test_a_track_of_another_head_model(
        self, head: Avatar, colours: Colours, talk: FlameTrack, tmp_path: Path
    ) -> None:
        with pytest.raises(EditionMismatchError):
            write_glb(
                tmp_path / "a.glb",
                head,
                colours,
                licence=LICENCE,
                track=replace(talk, edition="flame2020"),
            )

    def test_colours_of_another_mesh(self, head: Avatar, colours: Colours, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="colours"):
            write_glb(tmp_path / "a.glb", head, colours[1:], licence=LICENCE)

    def test_a_damaged_file(self, written: tuple[Path, GlbFacts], tmp_path: Path) -> None:
        (tmp_path / "a.glb").write_bytes(written[0].read_bytes()[:500])
        with pytest.raises(InputError, match="not a readable GLB"):
            GlbPlayback(tmp_path / "a.glb")

    @pytest.mark.parametrize(
        "choice",
        [
            {"colour": "pixel"},
            {"texture_size": 1000},
            {"material": "toon"},
            {"max_targets": 0},
            {"author": ""},
        ],
        ids=str,
    )
    def test_impossible_settings(self, choice: dict[str, Any]) -> None:
        with pytest.raises(UsageError):
            GlbSettings(**choice)


def khronos(*files: Path) -> CompletedProcess[str]:
    node = shutil.which("node")
    if node is None or not (
        (TOOLS / "node_modules" / "gltf-validator").exists() or os.environ.get("NODE_PATH")
    ):
        pytest.skip(
            "Khronos' validator is not there: npm install --no-save --prefix tools gltf-validator"
        )
    command = [node, str(TOOLS / "validate_gltf.mjs"), *map(str, files)]
    return run_process(command)


def test_khronos_validator_finds_no_error(
    head: Avatar, colours: Colours, written: tuple[Path, GlbFacts], tmp_path: Path
) -> None:
    write_vrm(tmp_path / "head.vrm", head, colours, licence=LICENCE, title="tiny")
    settings = GlbSettings(target_normals=True, max_targets=4)
    write_glb(tmp_path / "few.glb", head, colours, licence=LICENCE, settings=settings)
    result = khronos(written[0], tmp_path / "head.vrm", tmp_path / "few.glb")
    assert result.stdout.count(": 0 errors, 0 warnings") == 3, result.stdout + result.stderr
    assert result.returncode == 0
    spoilt = bytearray(written[0].read_bytes())
    spoilt[spoilt.index(b'"count":178') + 8] = ord("9")
    (tmp_path / "spoilt.glb").write_bytes(spoilt)
    assert khronos(tmp_path / "spoilt.glb").returncode == 1


def test_the_writer_needs_no_torch() -> None:
    code = """
import sys
sys.modules["torch"] = None
from imavatar_deploy.exporters.formats.gltf.glb import write_glb
from imavatar_deploy.exporters.formats.gltf.vrm import write_vrm
"""
    result = run_python(code)
    assert result.returncode == 0, result.stderr
