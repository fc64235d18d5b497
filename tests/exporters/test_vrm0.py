"""VRM 0.x: required fields, direction and groups; title, permissions and picture of any VRM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.conventions import BONES, UNITS_PER_METRE
from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.exporters.export import export_avatar
from imavatar_deploy.exporters.formats.gltf.morph_targets import (
    with_fixed_joints,
    with_four_influences,
    without_correctives,
)
from imavatar_deploy.exporters.formats.gltf.reader import GlbPlayback
from imavatar_deploy.exporters.formats.gltf.settings import GlbSettings, VrmSettings
from imavatar_deploy.exporters.formats.gltf.vrm import write_vrm
from imavatar_deploy.exporters.formats.gltf.vrm_rig import HEAD_HEIGHT
from imavatar_deploy.exporters.settings import ExportSettings
from imavatar_deploy.exporters.skeleton import bone_rotations
from imavatar_deploy.rendering.posing import pose_plainly
from imavatar_deploy.retarget import ARKIT_NAMES

from .test_glb_format import SMALL
from .test_gltf import LICENCE, document, khronos

TURN = np.array([-1.0, 1.0, -1.0])
"""A face along +Z, as the head model has it, to one along -Z."""

PRESETS = {
    "neutral",
    "joy",
    "angry",
    "sorrow",
    "fun",
    *"aiueo",
    "blink",
    "blink_l",
    "blink_r",
    "lookup",
    "lookdown",
    "lookleft",
    "lookright",
}
"""All presets of VRM 0.x."""

REQUIRED = {
    "hips",
    "spine",
    "chest",
    "neck",
    "head",
    *(
        f"{side}{bone}"
        for side in ("left", "right")
        for bone in ("UpperArm", "LowerArm", "Hand", "UpperLeg", "LowerLeg", "Foot")
    ),
}


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("picture") / "me.png"
    cv2.imwrite(str(path), np.full((64, 64, 3), 90, dtype=np.uint8))
    return path


def write(path: Path, head: Avatar, **choices: Any) -> Path:
    settings = GlbSettings(author="a hen", vrm=VrmSettings(**choices))
    colours = np.full((head.vertex_count, 3), 0.5, dtype=np.float32)
    write_vrm(path, head, colours, licence=LICENCE, title="egg", settings=settings)
    return path


@pytest.fixture(scope="module")
def path(head: Avatar, picture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vrm0")
    return write(folder / "head.vrm", head, version="0", thumbnail=picture)


@pytest.fixture(scope="module")
def vrm(path: Path) -> dict[str, Any]:
    extension: dict[str, Any] = document(path)["extensions"]["VRM"]
    return extension


class TestVersion0:
    def test_required_fields(self, path: Path, vrm: dict[str, Any]) -> None:
        glb = document(path)
        assert "VRM" in glb["extensionsUsed"]
        assert "VRMC_vrm" not in glb["extensions"]
        assert vrm["specVersion"] == "0.0"
        meta = vrm["meta"]
        assert (meta["title"], meta["author"]) == ("egg", "a hen")
        assert meta["allowedUserName"] == "OnlyAuthor"
        assert meta["licenseName"] == "Redistribution_Prohibited"
        for name in ("violentUssageName", "sexualUssageName", "commercialUssageName"):
            assert meta[name] == "Disallow"
        image = glb["images"][glb["textures"][meta["texture"]]["source"]]
        assert image["mimeType"] == "image/png"
        assert [entry["name"] for entry in vrm["materialProperties"]] == [
            material["name"] for material in glb["materials"]
        ]
        assert vrm["firstPerson"]["lookAtTypeName"] == "Bone"

    def test_humanoid_bones_are_there_once(self, path: Path, vrm: dict[str, Any]) -> None:
        bones = {bone["bone"]: bone["node"] for bone in vrm["humanoid"]["humanBones"]}
        assert set(bones) >= REQUIRED
        assert len(set(bones.values())) == len(bones)
        nodes = document(path)["nodes"]
        assert {nodes[node]["name"] for node in bones.values()} <= {node["name"] for node in nodes}
        chest = nodes[bones["chest"]]
        below = {nodes[child]["name"] for child in chest["children"]}
        assert {"leftUpperArm", "rightUpperArm", "ghost"} == below

    def test_groups_are_the_presets_and_perfect_sync(self, path: Path, vrm: dict[str, Any]) -> None:
        groups = vrm["blendShapeMaster"]["blendShapeGroups"]
        presets = {group["presetName"] for group in groups} - {"unknown"}
        assert presets == PRESETS
        names = {group["name"] for group in groups if group["presetName"] == "unknown"}
        assert names == {*(name[0].upper() + name[1:] for name in ARKIT_NAMES), "Surprised"}
        targets = document(path)["meshes"][0]["extras"]["targetNames"]
        for group in groups:
            for bind in group["binds"]:
                assert bind["mesh"] == 0
                assert 0 < bind["weight"] <= 100
                if group["presetName"] == "unknown" and group["name"] != "Surprised":
                    name = targets[bind["index"]]
                    assert name[0].upper() + name[1:] == group["name"]
                    assert bind["weight"] == 100

    def test_faces_along_minus_z_and_moves_as_the_avatar(self, head: Avatar, path: Path) -> None:
        file = GlbPlayback(path)
        height = np.array([0, HEAD_HEIGHT, 0])
        still = file.pose_vertices({}, {})
        assert still == pytest.approx(head.rest.T / UNITS_PER_METRE * TURN + height, abs=1e-6)
        faces = file.array(file.primitive.indices).reshape(-1, 3)
        corners = still[faces] - height
        assert np.einsum("fi,fi->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) > 0
        limited = with_four_influences(with_fixed_joints(without_correctives(head)))
        expression = np.zeros(50, dtype=np.float32)
        expression[7] = 1.0
        pose = np.zeros(15, dtype=np.float32)
        pose[3:6] = (0.3, 0.5, -0.2)
        expected = pose_plainly(limited, expression, pose).vertices / UNITS_PER_METRE
        turned = (pose.reshape(5, 3) * TURN).astype(np.float32).ravel()
        rotations = dict(zip(BONES, bone_rotations(turned), strict=True))
        moved = file.pose_vertices({head.expression_names[7]: 1.0}, rotations)
        assert np.abs(moved - (expected * TURN + height)).max() <= 1e-4

    def test_an_export_is_compared_with_the_avatars_posing(
        self, checkpoint: Path, tmp_path: Path
    ) -> None:
        settings = ExportSettings(
            formats=("vrm",), glb=GlbSettings(vrm=VrmSettings(version="0")), **SMALL
        )
        report = export_avatar(checkpoint, tmp_path / "head", settings)
        assert [parity.passed for parity in report.parity] == [True]
        assert "VRM" in document(tmp_path / "head" / "avatar.vrm")["extensions"]

    def test_khronos_finds_no_error(self, path: Path) -> None:
        result = khronos(path)
        assert ": 0 errors" in result.stdout, result.stdout + result.stderr


class TestMeta:
    def test_permissions_and_thumbnail_of_version_1(
        self, head: Avatar, picture: Path, tmp_path: Path
    ) -> None:
        path = write(
            tmp_path / "a.vrm",
            head,
            thumbnail=picture,
            users="everyone",
            commercial="corporation",
            redistribution=True,
            modification="allowModification",
        )
        glb = document(path)
        meta = glb["extensions"]["VRMC_vrm"]["meta"]
        assert (meta["avatarPermission"], meta["commercialUsage"]) == ("everyone", "corporation")
        assert (meta["allowRedistribution"], meta["modification"]) == (True, "allowModification")
        view = glb["bufferViews"][glb["images"][meta["thumbnailImage"]]["bufferView"]]
        assert view["byteLength"] == picture.stat().st_size

    def test_permissions_of_version_0(self, head: Avatar, tmp_path: Path) -> None:
        path = write(
            tmp_path / "a.vrm",
            head,
            version="0",
            users="onlySeparatelyLicensedPerson",
            commercial="personalProfit",
            redistribution=True,
        )
        meta = document(path)["extensions"]["VRM"]["meta"]
        assert meta["allowedUserName"] == "ExplicitlyLicensedPerson"
        assert (meta["commercialUssageName"], meta["licenseName"]) == ("Allow", "Other")
        assert "texture" not in meta

    @pytest.mark.parametrize("content", [None, b"GIF89a"])
    def test_an_unreadable_thumbnail(
        self, content: bytes | None, head: Avatar, tmp_path: Path
    ) -> None:
        picture = tmp_path / "me.gif"
        if content is not None:
            picture.write_bytes(content)
        with pytest.raises(InputError, match="thumbnail"):
            write(tmp_path / "a.vrm", head, thumbnail=picture)
        assert not (tmp_path / "a.vrm").exists()

    def test_an_export_refuses_it_before_the_work(self, checkpoint: Path, tmp_path: Path) -> None:
        vrm = VrmSettings(thumbnail=tmp_path / "no.png")
        settings = ExportSettings(formats=("vrm",), glb=GlbSettings(vrm=vrm), **SMALL)
        steps: list[str] = []
        with pytest.raises(InputError, match="thumbnail"):
            export_avatar(checkpoint, tmp_path / "head", settings, say=steps.append)
        assert not any("extract" in step for step in steps)

    @pytest.mark.parametrize(
        "choice",
        [{"version": "2"}, {"users": "all"}, {"commercial": "yes"}, {"modification": "yes"}],
        ids=str,
    )
    def test_impossible_settings(self, choice: dict[str, Any]) -> None:
        with pytest.raises(UsageError):
            VrmSettings(**choice)
