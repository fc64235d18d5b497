"""USD scenes: official validation, units, names and time samples."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from pxr import Usd, UsdGeom, UsdSkel, UsdValidation

from imavatar_deploy.exporters.sequences.bake import bake_motion
from imavatar_deploy.exporters.sequences.formats import FORMATS
from imavatar_deploy.exporters.sequences.motion import open_motion

SUFFIXES = ("usd", "usdz")


@pytest.fixture(scope="module")
def scenes(tiny_avatar_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("scenes") / "out"
    motion = open_motion(tiny_avatar_folder, "talk", frames=slice(0, 70), colour=True)
    bake_motion(motion, out, [FORMATS[suffix] for suffix in SUFFIXES])
    return out


@pytest.mark.parametrize("suffix", SUFFIXES)
class TestScene:
    def test_official_validation_finds_nothing(self, scenes: Path, suffix: str) -> None:
        validators = UsdValidation.ValidationRegistry().GetOrLoadAllValidators()
        assert len(validators) >= 20
        errors = UsdValidation.ValidationContext(validators).Validate(
            Usd.Stage.Open(str(scenes / f"head.{suffix}"))
        )
        assert [error.GetMessage() for error in errors] == []

    def test_units_axes_and_rate(self, scenes: Path, suffix: str) -> None:
        stage = Usd.Stage.Open(str(scenes / f"head.{suffix}"))
        assert UsdGeom.GetStageMetersPerUnit(stage) == 1
        assert UsdGeom.GetStageUpAxis(stage) == "Y"
        assert stage.GetDefaultPrim().GetName() == "head"
        assert (stage.GetTimeCodesPerSecond(), stage.GetFramesPerSecond()) == (25, 25)
        assert (stage.GetStartTimeCode(), stage.GetEndTimeCode()) == (0, 69)

    def test_joints_and_shapes_have_their_names(self, scenes: Path, suffix: str) -> None:
        stage = Usd.Stage.Open(str(scenes / f"head.{suffix}"))
        bones = UsdSkel.Skeleton(stage.GetPrimAtPath("/head/skeleton"))
        eyes = ["global/neck/eyeL", "global/neck/eyeR"]
        assert list(bones.GetJointsAttr().Get()) == [
            "ghost",
            "global",
            "global/neck",
            "global/neck/jaw",
            *eyes,
        ]
        shapes = [prim.GetName() for prim in Usd.PrimRange(stage.GetPrimAtPath("/head/surface"))][
            1:
        ]
        assert shapes[:2] == ["expression0", "expression1"]
        assert (shapes[50], shapes[-1]) == ("pose_neck_0", "pose_eyeR_8")
        assert len(shapes) == len(set(shapes)) == 86

    def test_every_frame_has_its_extent_and_colours(self, scenes: Path, suffix: str) -> None:
        stage = Usd.Stage.Open(str(scenes / f"head.{suffix}"))
        mesh = UsdGeom.Mesh(stage.GetPrimAtPath("/head/surface"))
        assert mesh.GetExtentAttr().GetTimeSamples() == [float(index) for index in range(70)]
        assert mesh.GetDisplayColorPrimvar().GetTimeSamples() == [
            float(index) for index in range(70)
        ]
        assert (
            np.ptp([np.array(mesh.GetExtentAttr().Get(index)) for index in range(70)], axis=0).max()
            > 1e-3
        )


def test_the_package_holds_the_scene_alone_and_no_date(scenes: Path) -> None:
    with zipfile.ZipFile(scenes / "head.usdz") as package:
        (entry,) = package.infolist()
        assert (entry.filename, entry.date_time) == ("head.usdc", (1980, 1, 1, 0, 0, 0))
        assert entry.compress_type == zipfile.ZIP_STORED
