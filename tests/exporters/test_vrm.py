"""A VRM: the required fields of the VRM 1.0 specification, its bones, expressions and jaw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.exporters.formats.gltf.morph_targets import open_jaw, with_four_influences
from imavatar_deploy.exporters.formats.gltf.reader import GlbPlayback
from imavatar_deploy.exporters.formats.gltf.settings import GlbSettings
from imavatar_deploy.exporters.formats.gltf.vrm import write_vrm
from imavatar_deploy.exporters.formats.gltf.vrm_rig import HEAD_HEIGHT, PRESETS
from imavatar_deploy.rendering.posing import pose_plainly
from imavatar_deploy.retarget import ARKIT_NAMES

from .test_gltf import LICENCE, document

PARENTS = {
    "spine": "hips",
    "neck": "spine",
    "head": "neck",
    "leftEye": "head",
    "rightEye": "head",
    **{f"{side}UpperLeg": "hips" for side in ("left", "right")},
    **{f"{side}LowerLeg": f"{side}UpperLeg" for side in ("left", "right")},
    **{f"{side}Foot": f"{side}LowerLeg" for side in ("left", "right")},
    **{f"{side}UpperArm": "spine" for side in ("left", "right")},
    **{f"{side}LowerArm": f"{side}UpperArm" for side in ("left", "right")},
    **{f"{side}Hand": f"{side}LowerArm" for side in ("left", "right")},
}
"""Bones that VRM 1.0 requires, and those of a head -> the humanoid bone above; without the root."""


@pytest.fixture(scope="module")
def path(head: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vrm") / "head.vrm"
    colours = np.full((head.vertex_count, 3), 0.5, dtype=np.float32)
    write_vrm(
        path, head, colours, licence=LICENCE, title="egg", settings=GlbSettings(author="a hen")
    )
    return path


@pytest.fixture(scope="module")
def vrm(path: Path) -> dict[str, Any]:
    expressions: dict[str, Any] = document(path)["extensions"]["VRMC_vrm"]
    return expressions


def test_required_fields(path: Path, vrm: dict[str, Any]) -> None:
    assert "VRMC_vrm" in document(path)["extensionsUsed"]
    assert vrm["specVersion"] == "1.0"
    meta = vrm["meta"]
    assert (meta["name"], meta["authors"], meta["licenseUrl"]) == (
        "egg",
        ["a hen"],
        "https://vrm.dev/licenses/1.0/",
    )
    assert "CC0" in meta["thirdPartyLicenses"]
    assert meta["avatarPermission"] == "onlyAuthor"
    assert not meta["allowRedistribution"]


def test_humanoid_bones_are_there_once_and_below_their_parents(
    path: Path, vrm: dict[str, Any]
) -> None:
    nodes = document(path)["nodes"]
    bones = {name: bone["node"] for name, bone in vrm["humanoid"]["humanBones"].items()}
    above = {child: index for index, node in enumerate(nodes) for child in node.get("children", [])}
    assert set(bones) == {"hips", *PARENTS}
    assert len(set(bones.values())) == len(bones)
    for name, parent in PARENTS.items():
        node = above[bones[name]]
        while node not in bones.values():
            node = above[node]
        assert node == bones[parent], name


def test_is_in_a_t_pose_and_faces_along_z(head: Avatar, path: Path, vrm: dict[str, Any]) -> None:
    file = GlbPlayback(path)
    still = file.pose_vertices({}, {})
    assert still == pytest.approx(head.rest.T / UNITS_PER_METRE + [0, HEAD_HEIGHT, 0], abs=1e-6)
    nodes = file.structure.nodes
    left, right = (
        nodes[vrm["humanoid"]["humanBones"][f"{side}Hand"]["node"]] for side in ("left", "right")
    )
    assert left.translation[0] > 0.2
    assert right.translation == pytest.approx([-left.translation[0], *left.translation[1:]])
    assert all(not node.rotation for node in nodes)


def test_all_52_names_are_expressions_and_none_a_preset(
    path: Path, head: Avatar, vrm: dict[str, Any]
) -> None:
    custom = vrm["expressions"]["custom"]
    # VMagicMirror compares these names letter by letter.
    names = [name[0].upper() + name[1:] for name in ARKIT_NAMES]
    assert set(custom) == set(names)
    assert len(custom) == 52
    assert not set(custom) & set(PRESETS)
    targets = document(path)["meshes"][0]["extras"]["targetNames"]
    assert set(targets) == {*ARKIT_NAMES} - {"tongueOut"}
    names = document(path)["meshes"][0]["extras"]["targetNames"]
    for name, expression in custom.items():
        binds = expression.get("morphTargetBinds", [])
        assert [(bind["node"], names[bind["index"]], bind["weight"]) for bind in binds] == (
            [] if name == "TongueOut" else [(0, name[0].lower() + name[1:], 1.0)]
        )


def test_presets_are_those_of_vrm_and_bind_existing_targets(
    path: Path, vrm: dict[str, Any]
) -> None:
    presets = vrm["expressions"]["preset"]
    assert set(presets) == set(PRESETS)
    assert {"aa", "ih", "ou", "ee", "oh", "blink", "happy", "lookUp", "neutral"} <= set(presets)
    count = len(document(path)["meshes"][0]["extras"]["targetNames"])
    for expression in presets.values():
        for bind in expression.get("morphTargetBinds", []):
            assert 0 <= bind["index"] < count
            assert 0 < bind["weight"] <= 1


def test_a_cap_leaves_out_what_it_drops(head: Avatar, tmp_path: Path) -> None:
    colours = np.full((head.vertex_count, 3), 0.5, dtype=np.float32)
    settings = GlbSettings(max_targets=10)
    facts = write_vrm(
        tmp_path / "a.vrm", head, colours, licence=LICENCE, title="few", settings=settings
    )
    expressions = document(tmp_path / "a.vrm")["extensions"]["VRMC_vrm"]["expressions"]
    assert len(facts.targets) == 10
    names = {name[0].lower() + name[1:] for name in expressions["custom"]}
    assert names == {*facts.targets, "tongueOut"}
    assert all(set(PRESETS[name]) <= set(facts.targets) for name in expressions["preset"])


def test_jaw_opens_by_its_expression(head: Avatar, path: Path) -> None:
    limited, neutral = with_four_influences(head), np.zeros(50, dtype=np.float32)
    expected = pose_plainly(limited, neutral, open_jaw()).vertices / UNITS_PER_METRE + [
        0,
        HEAD_HEIGHT,
        0,
    ]
    file = GlbPlayback(path)
    assert np.abs(file.pose_vertices({"jawOpen": 1.0}, {}) - expected).max() <= 1e-4
