"""USD scenes: official validation, units, names and time samples."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from pxr import Usd, UsdGeom, UsdShade, UsdSkel, UsdValidation

from imavatar_deploy.avatar_io import open_avatar
from imavatar_deploy.exporters.sequences.bake import bake_motion
from imavatar_deploy.exporters.sequences.formats import FORMATS
from imavatar_deploy.exporters.sequences.motion import open_motion
from imavatar_deploy.kinematics import condition_of
from imavatar_deploy.onnx_session import open_session, run_graph
from imavatar_deploy.rendering.posing import pose_plainly, surface_normals

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
        neck = "ghost/global/neck"
        assert list(bones.GetJointsAttr().Get()) == [
            "ghost",
            "ghost/global",
            neck,
            f"{neck}/jaw",
            f"{neck}/eyeL",
            f"{neck}/eyeR",
        ]
        shapes = [prim.GetName() for prim in Usd.PrimRange(stage.GetPrimAtPath("/head/surface"))][
            1:
        ]
        assert shapes[:2] == ["expression0", "expression1"]
        assert (shapes[50], shapes[85]) == ("pose_neck_0", "pose_eyeR_8")
        assert len(shapes) == len(set(shapes))
        assert all(name.endswith(("Below", "Above")) for name in shapes[86:])

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

    def test_weights_are_within_0_and_1(self, scenes: Path, suffix: str) -> None:
        stage = Usd.Stage.Open(str(scenes / f"head.{suffix}"))
        animation = UsdSkel.Animation(stage.GetPrimAtPath("/head/motion"))
        weights = animation.GetBlendShapeWeightsAttr()
        values = np.array([weights.Get(index) for index in range(70)])
        assert (values.min(), values.max()) == (0, 1)

    def test_surface_has_normals_and_a_material_that_shows_the_colours(
        self, scenes: Path, suffix: str
    ) -> None:
        stage = Usd.Stage.Open(str(scenes / f"head.{suffix}"))
        mesh = UsdGeom.Mesh(stage.GetPrimAtPath("/head/surface"))
        assert mesh.GetNormalsInterpolation() == "vertex"
        normals = np.array(mesh.GetNormalsAttr().Get())
        assert np.linalg.norm(normals, axis=1) == pytest.approx(1, abs=1e-4)
        assert ((normals * np.array(mesh.GetPointsAttr().Get())).sum(axis=1) > 0).mean() > 0.9
        source = diffuse_source(stage)
        assert source.GetIdAttr().Get() == "UsdPrimvarReader_float3"
        assert source.GetInput("varname").Get() == "displayColor"


def diffuse_source(stage: Usd.Stage) -> UsdShade.Shader:
    """The shader that provides the colours of the surface."""
    api = UsdShade.MaterialBindingAPI(stage.GetPrimAtPath("/head/surface"))
    material, _ = api.ComputeBoundMaterial()
    surface, _, _ = material.ComputeSurfaceSource()
    assert surface.GetIdAttr().Get() == "UsdPreviewSurface"
    (connection, *_), _ = surface.GetInput("diffuseColor").GetConnectedSources()
    return UsdShade.Shader(connection.source.GetPrim())


def test_shapes_that_move_nothing_are_left_out_and_few_vertices_are_indexed(
    own_avatar_folder: Path, tmp_path: Path
) -> None:
    motion = open_motion(own_avatar_folder, "talk", frames=slice(0, 3), colour=False)
    basis = motion.avatar.expression_basis.copy()
    basis[4] = 0.0
    basis[5, :, 20:] = 0.0
    avatar = replace(motion.avatar, expression_basis=basis)
    motion = replace(motion, folder=replace(motion.folder, avatar=avatar))
    bake_motion(motion, tmp_path / "out", [FORMATS["usd"]])
    stage = Usd.Stage.Open(str(tmp_path / "out" / "head.usd"))
    assert not stage.GetPrimAtPath("/head/surface/expression4").IsValid()
    few = UsdSkel.BlendShape(stage.GetPrimAtPath("/head/surface/expression5"))
    assert list(few.GetPointIndicesAttr().Get()) == list(range(20))
    assert np.array(few.GetOffsetsAttr().Get()) == pytest.approx(basis[5, :, :20].T / 4, abs=1e-6)
    animation = UsdSkel.Animation(stage.GetPrimAtPath("/head/motion"))
    names = list(animation.GetBlendShapesAttr().Get())
    assert "expression4" not in names
    assert len(animation.GetBlendShapeWeightsAttr().Get(1)) == len(names)


@pytest.fixture(scope="module")
def package(tiny_avatar_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package without colours of every frame."""
    out = tmp_path_factory.mktemp("package") / "out"
    motion = open_motion(tiny_avatar_folder, "talk", frames=slice(0, 3))
    bake_motion(motion, out, [FORMATS["usdz"]])
    return out / "head.usdz"


class TestTexture:
    """Without colours of every frame, a package has those of the neutral face as an image."""

    def test_package_holds_scene_and_image(self, package: Path) -> None:
        with zipfile.ZipFile(package) as archive:
            assert archive.namelist() == ["head.usdc", "head.png"]
            assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}

    def test_material_shows_the_image_with_the_networks_colours(
        self, package: Path, tiny_avatar_folder: Path
    ) -> None:
        stage = Usd.Stage.Open(str(package))
        source = diffuse_source(stage)
        assert source.GetIdAttr().Get() == "UsdUVTexture"
        assert source.GetInput("file").Get().path == "./head.png"
        assert source.GetInput("file").Get().resolvedPath
        mesh = UsdGeom.Mesh(stage.GetPrimAtPath("/head/surface"))
        st = UsdGeom.PrimvarsAPI(mesh).GetPrimvar("st")
        assert st.GetInterpolation() == "faceVarying"
        corners = np.array(st.ComputeFlattened())
        faces = np.array(mesh.GetFaceVertexIndicesAttr().Get())
        assert len(corners) == len(faces)
        with zipfile.ZipFile(package) as archive:
            image = cv2.imdecode(np.frombuffer(archive.read("head.png"), np.uint8), 1)[:, :, ::-1]
        middle = corners.reshape(-1, 3, 2).mean(axis=1)
        pixels = np.floor([1, -1] * (middle - [0, 1]) * image.shape[0]).astype(int)
        seen = image[pixels[:, 1], pixels[:, 0]] / 255
        folder = open_avatar(tiny_avatar_folder)
        neutral, rest = np.zeros(50, dtype=np.float32), np.zeros(15, dtype=np.float32)
        normals = surface_normals(folder.avatar, pose_plainly(folder.avatar, neutral, rest))
        middle_normals = normals[faces.reshape(-1, 3)].mean(axis=1)
        inputs = {
            "code": folder.avatar.texture_code[faces.reshape(-1, 3)].mean(axis=1),
            "normal": middle_normals / np.linalg.norm(middle_normals, axis=1, keepdims=True),
            "condition": condition_of(neutral, rest),
        }
        expected = run_graph(open_session(folder.file("texture.onnx")), inputs)["rgb"]
        assert np.median(np.abs(seen - expected)) < 0.02
        assert np.corrcoef(seen.ravel(), expected.ravel())[0, 1] > 0.95

    def test_official_validation_finds_nothing(self, package: Path) -> None:
        validators = UsdValidation.ValidationRegistry().GetOrLoadAllValidators()
        context = UsdValidation.ValidationContext(validators)
        errors = context.Validate(Usd.Stage.Open(str(package)))
        assert [error.GetMessage() for error in errors] == []


def test_the_package_holds_the_scene_alone_and_no_date(scenes: Path) -> None:
    with zipfile.ZipFile(scenes / "head.usdz") as package:
        (entry,) = package.infolist()
        assert (entry.filename, entry.date_time) == ("head.usdc", (1980, 1, 1, 0, 0, 0))
        assert entry.compress_type == zipfile.ZIP_STORED
