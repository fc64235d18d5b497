"""`imavatar-export --map`: ARKit's shapes in the files of an avatar whose head model has none."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pxr import Usd, UsdSkel

from imavatar_deploy.avatar_io import open_avatar
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.errors import EditionMismatchError, InputError, UsageError
from imavatar_deploy.exporters.export import export_avatar
from imavatar_deploy.exporters.formats.gltf.morph_targets import with_four_influences
from imavatar_deploy.exporters.formats.gltf.reader import GlbPlayback
from imavatar_deploy.exporters.formats.gltf.vrm_rig import HEAD_HEIGHT, PRESETS
from imavatar_deploy.exporters.settings import ExportSettings
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.model import ImplicitAvatar, save_checkpoint
from imavatar_deploy.rendering.posing import pose_plainly
from imavatar_deploy.retarget import ARKIT_NAMES, ExpressionMap, write_map
from imavatar_deploy.retarget.expression_map import CONTROLS, split
from imavatar_deploy.tracks import FlameTrack, read_track

from ..consumers.programs import run_three
from .conftest import SMALL as SMALL_NETWORKS
from .test_commands import call
from .test_glb_format import SMALL, Exported
from .test_gltf import document

STILL = ("tongueOut", "cheekPuff")
"""Shapes that the map cannot imitate: it gives them no control."""


@pytest.fixture(scope="module")
def arkit_map() -> ExpressionMap:
    """A map with expressions in every shape, the jaw in jawOpen and an eye in its eyeLook."""
    rng = np.random.default_rng(11)
    matrix = np.zeros((52, len(CONTROLS)), dtype=np.float32)
    matrix[:, :50] = rng.normal(size=(52, 50))
    matrix[ARKIT_NAMES.index("jawOpen"), CONTROLS.index("jaw.x")] = 0.35
    matrix[ARKIT_NAMES.index("eyeLookDownLeft"), CONTROLS.index("eyeL.x")] = 0.27
    for name in STILL:
        matrix[ARKIT_NAMES.index(name)] = 0.0
    bias = np.full(len(CONTROLS), 0.3, dtype=np.float32)  # the neutral face of a tracker
    return ExpressionMap("arkit52", "flame2020", matrix, bias)


@pytest.fixture(scope="module")
def flame_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small avatar of a head model whose expressions have no names."""
    torch.manual_seed(5)
    names = tuple(f"expression_{index:02d}" for index in range(50))
    head = replace(HeadModel.load("openhead"), edition="flame2020", expression_names=names)
    model = ImplicitAvatar(head, SMALL_NETWORKS)
    with torch.no_grad():
        model.deformation.blendshapes.weight.normal_(0.0, 0.02)
        model.deformation.skinning.weight.normal_(0.0, 0.1)
    folder = tmp_path_factory.mktemp("flame") / "small"
    save_checkpoint(model.eval(), folder)
    return folder


@pytest.fixture(scope="module")
def mapped(
    flame_checkpoint: Path, arkit_map: ExpressionMap, tmp_path_factory: pytest.TempPathFactory
) -> Exported:
    out = tmp_path_factory.mktemp("mapped") / "head"
    settings = ExportSettings(formats=("glb", "vrm", "usd"), arkit_map=arkit_map, **SMALL)
    return Exported(out, export_avatar(flame_checkpoint, out, settings))


def truth(mapped: Exported, arkit_map: ExpressionMap, name: str) -> np.ndarray[Any, Any]:
    """Vertices, metres, of the face that the map makes of a shape at its full weight."""
    controls = arkit_map.matrix[ARKIT_NAMES.index(name)]
    avatar = with_four_influences(open_avatar(mapped.folder).avatar)
    pose = np.zeros(15, dtype=np.float32)
    return pose_plainly(avatar, *split(controls, pose)).vertices / UNITS_PER_METRE


SHAPES = tuple(name for name in ARKIT_NAMES if name not in STILL)


class TestGlb:
    def test_targets_are_arkits_shapes(self, mapped: Exported) -> None:
        names = document(mapped.folder / "avatar.glb")["meshes"][0]["extras"]["targetNames"]
        assert names == [*SHAPES, "jawOpenCorrective"]

    @pytest.mark.parametrize("name", ["mouthSmileLeft", "jawOpen", "eyeLookDownLeft"])
    def test_a_full_weight_is_the_face_of_the_map(
        self, name: str, mapped: Exported, arkit_map: ExpressionMap
    ) -> None:
        file = GlbPlayback(mapped.folder / "avatar.glb")
        expected = truth(mapped, arkit_map, name)
        assert np.abs(file.pose_vertices({name: 1.0}, {}) - expected).max() <= 1e-4
        assert np.abs(file.pose_vertices({}, {}) - expected).max() > 1e-3

    def test_a_clip_has_the_expressions_of_the_head_model_too(
        self, flame_checkpoint: Path, arkit_map: ExpressionMap, tmp_path: Path
    ) -> None:
        track: FlameTrack = replace(read_track("talk").select(slice(40, 50)), edition="flame2020")
        settings = ExportSettings(formats=("glb",), arkit_map=arkit_map, track=track, **SMALL)
        report = export_avatar(flame_checkpoint, tmp_path / "head", settings)
        assert all(parity.passed for parity in report.parity)
        compared = {row.name for parity in report.parity for row in parity.differences}
        assert {"clip", "vertices"} <= compared
        names = GlbPlayback(tmp_path / "head" / "avatar.glb").names
        assert {*SHAPES, "expression_00", "expression_49"} <= {*names}


class TestVrm:
    def test_custom_expressions_and_presets_are_those_of_perfect_sync(
        self, mapped: Exported
    ) -> None:
        expressions = document(mapped.folder / "avatar.vrm")["extensions"]["VRMC_vrm"][
            "expressions"
        ]
        expected = {name[0].upper() + name[1:] for name in (*SHAPES, "tongueOut")}
        assert set(expressions["custom"]) == expected
        assert set(expressions["preset"]) == set(PRESETS)

    def test_three_vrm_moves_the_brows_by_their_name(
        self, mapped: Exported, arkit_map: ExpressionMap, tmp_path: Path
    ) -> None:
        requests = [{}, {"expression": "BrowInnerUp"}]
        result = run_three(mapped.folder / "avatar.vrm", requests, tmp_path / "out.json")
        still, moved = (np.array(vertices) for vertices in result["frames"])
        expected = truth(mapped, arkit_map, "browInnerUp") + np.array([0, HEAD_HEIGHT, 0])
        assert np.abs(moved - expected).max() <= 1e-4
        assert np.abs(still - expected).max() > 1e-3

    @pytest.mark.parametrize("pair", ["eyeBlink", "browDown"])
    def test_a_shape_of_one_side_leaves_the_other(
        self, pair: str, mapped: Exported, arkit_map: ExpressionMap
    ) -> None:
        """The map's faces move both sides; the sum of the pair stays."""
        file = GlbPlayback(mapped.folder / "avatar.vrm")
        rest = file.pose_vertices({}, {})
        left, right = (
            file.pose_vertices({f"{pair}{side}": 1.0}, {}) - rest for side in ("Left", "Right")
        )
        still = truth(mapped, arkit_map, "tongueOut")
        both = sum(truth(mapped, arkit_map, f"{pair}{side}") - still for side in ("Left", "Right"))
        assert np.abs(left + right - both).max() <= 2e-4
        for moved, own in ((left, rest[:, 0] > 0.02), (right, rest[:, 0] < -0.02)):
            assert np.abs(moved[~own & (np.abs(rest[:, 0]) > 0.02)]).max() < 1e-7
            assert np.abs(moved[own]).max() > 1e-3

    def test_the_jaw_opens_as_the_map_says(
        self, mapped: Exported, arkit_map: ExpressionMap
    ) -> None:
        raised = np.array([0, HEAD_HEIGHT, 0])
        expected = truth(mapped, arkit_map, "jawOpen") + raised
        file = GlbPlayback(mapped.folder / "avatar.vrm")
        assert np.abs(file.pose_vertices({"jawOpen": 1.0}, {}) - expected).max() <= 1e-4

    def test_without_a_map_it_is_refused_with_the_command_that_makes_one(
        self, flame_checkpoint: Path, tmp_path: Path
    ) -> None:
        with pytest.raises(UsageError, match=r"fit-map .* --edition flame2020 .* --map") as caught:
            export_avatar(
                flame_checkpoint, tmp_path / "head", ExportSettings(formats=("vrm",), **SMALL)
            )
        assert "--out arkit.npz" in str(caught.value)
        assert not (tmp_path / "head").exists()


class TestUsd:
    def test_blend_shapes_are_arkits_shapes_and_the_bases(
        self, mapped: Exported, arkit_map: ExpressionMap
    ) -> None:
        stage = Usd.Stage.Open(str(mapped.folder / "avatar.usd"))
        animation = UsdSkel.Animation(stage.GetPrimAtPath("/head/motion"))
        assert {*SHAPES, "expression_00"} <= {*animation.GetBlendShapesAttr().Get()}
        shape = UsdSkel.BlendShape(stage.GetPrimAtPath("/head/surface/jawOpen"))
        avatar = open_avatar(mapped.folder).avatar
        pose = np.zeros(15, dtype=np.float32)
        controls = arkit_map.matrix[ARKIT_NAMES.index("jawOpen")]
        moved = pose_plainly(avatar, *split(controls, pose)).vertices - avatar.rest.T
        offsets = np.array(shape.GetOffsetsAttr().Get())
        assert np.abs(offsets - moved / UNITS_PER_METRE).max() <= 2e-5

    def test_they_are_compared_with_the_avatars_posing(self, mapped: Exported) -> None:
        (report,) = (report for report in mapped.report.parity if report.subject == "usd")
        (rig,) = (row for row in report.differences if row.name == "rig")
        assert report.passed
        assert rig.shape[0] > len(SHAPES) // 3


class TestRefusals:
    @pytest.mark.parametrize("name", ["glb", "vrm", "usd", "usdz"])
    def test_a_map_for_another_head_model(
        self, name: str, flame_checkpoint: Path, arkit_map: ExpressionMap, tmp_path: Path
    ) -> None:
        other = replace(arkit_map, target="flame2023")
        settings = ExportSettings(formats=(name,), arkit_map=other, **SMALL)
        with pytest.raises(EditionMismatchError, match="made for flame2023"):
            export_avatar(flame_checkpoint, tmp_path / "head", settings)

    def test_a_map_of_codes(self, flame_checkpoint: Path, tmp_path: Path) -> None:
        codes = ExpressionMap("openhead", "flame2020", np.eye(59, dtype=np.float32))
        settings = ExportSettings(formats=("glb",), arkit_map=codes, **SMALL)
        with pytest.raises(InputError, match="reads openhead"):
            export_avatar(flame_checkpoint, tmp_path / "head", settings)

    def test_a_head_with_arkits_shapes(
        self, checkpoint: Path, arkit_map: ExpressionMap, tmp_path: Path
    ) -> None:
        settings = ExportSettings(formats=("vrm",), arkit_map=arkit_map, **SMALL)
        with pytest.raises(UsageError, match="leave --map out"):
            export_avatar(checkpoint, tmp_path / "head", settings)


class TestCommand:
    def test_a_map_is_read_from_a_file(
        self, flame_checkpoint: Path, arkit_map: ExpressionMap, tmp_path: Path
    ) -> None:
        write_map(arkit_map, tmp_path / "arkit.npz")
        result = call(
            flame_checkpoint,
            *("--format", "vrm", "--out", tmp_path / "head", "--map", tmp_path / "arkit.npz"),
            *("--resolution", "64", "--faces", "500"),
        )
        assert result.exit_code == 0, result.output
        assert "mouthSmileLeft" in GlbPlayback(tmp_path / "head" / "avatar.vrm").names

    def test_a_map_that_does_not_exist(self, flame_checkpoint: Path, tmp_path: Path) -> None:
        result = call(
            flame_checkpoint,
            *("--format", "vrm", "--out", tmp_path / "head", "--map", tmp_path / "no.npz"),
        )
        assert result.exit_code == 2
        assert re.search(r"there is no map '.*no\.npz'", result.output)

    @pytest.mark.parametrize("name", ["glb", "usd"])
    def test_a_note_says_that_the_shapes_are_not_arkits(
        self, name: str, flame_checkpoint: Path, tmp_path: Path
    ) -> None:
        settings = ExportSettings(formats=(name,), **SMALL)
        report = export_avatar(flame_checkpoint, tmp_path / "head", settings)
        assert any("expression_00" in note and "--map" in note for note in report.notes)

    @pytest.mark.parametrize("name", ["glb", "usd"])
    def test_openhead_gets_no_such_note(self, name: str, checkpoint: Path, tmp_path: Path) -> None:
        report = export_avatar(
            checkpoint, tmp_path / "head", ExportSettings(formats=(name,), **SMALL)
        )
        assert not any("--map" in note for note in report.notes)
