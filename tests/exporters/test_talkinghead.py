"""The profile `talkinghead` of a GLB: bones, targets, and what the mixtures move."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.avatar_io import open_avatar
from imavatar_deploy.conventions import POSE_SIZE, UNITS_PER_METRE
from imavatar_deploy.errors import UsageError
from imavatar_deploy.exporters.export import export_avatar
from imavatar_deploy.exporters.formats.gltf.morph_targets import open_jaw, with_four_influences
from imavatar_deploy.exporters.formats.gltf.reader import GlbPlayback
from imavatar_deploy.exporters.formats.gltf.settings import GlbSettings
from imavatar_deploy.exporters.formats.gltf.talkinghead import (
    MIXES,
    VISEMES,
    arkit_targets,
    write_talkinghead,
)
from imavatar_deploy.exporters.formats.gltf.vrm_rig import HEAD_HEIGHT
from imavatar_deploy.exporters.settings import ExportSettings
from imavatar_deploy.exporters.skeleton import NEUTRAL_EXPRESSION
from imavatar_deploy.rendering.posing import Posed, pose_plainly
from imavatar_deploy.retarget.arkit import ARKIT_NAMES, EYE_TURNS
from imavatar_deploy.tracks import read_track

from .test_gltf import LICENCE, document

FINGER_BONES = [
    f"{side}Hand{finger}{joint}"
    for side in ("Left", "Right")
    for finger in ("Thumb", "Index", "Middle", "Ring", "Pinky")
    for joint in (1, 2, 3)
]
SIDED = ("Shoulder", "Arm", "ForeArm", "Hand", "UpLeg", "Leg", "Foot", "ToeBase")
REQUIRED = {
    "Hips",
    "Spine",
    "Spine1",
    "Spine2",
    "Neck",
    "Head",
    *(f"{side}{bone}" for side in ("Left", "Right") for bone in SIDED),
    *FINGER_BONES,
}
"""The bones whose absence TalkingHead 1.7.0 refuses."""

LIST_OF_VISEMES = "sil PP FF TH DD kk CH SS nn RR aa E I O U"


@pytest.fixture(scope="module")
def path(head: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("talkinghead") / "head.glb"
    colours = np.full((head.vertex_count, 3), 0.5, dtype=np.float32)
    write_talkinghead(path, head, colours, licence=LICENCE)
    return path


def test_every_required_bone_is_below_the_root(path: Path) -> None:
    nodes = document(path)["nodes"]
    (root,) = document(path)["scenes"][0]["nodes"]
    assert nodes[root]["name"] == "Armature"
    below, queue = [], [root]
    while queue:
        below.append(queue[0])
        queue += nodes[queue.pop(0)].get("children", [])
    names = [nodes[index]["name"] for index in below]
    assert len(REQUIRED) == 52
    assert set(names) >= REQUIRED | {"LeftEye", "RightEye"}
    assert len(set(names)) == len(names) == len(nodes)
    meshes = [nodes[index]["name"] for index in below if "mesh" in nodes[index]]
    assert sorted(meshes) == ["floor", "head"]


def test_the_body_stands_in_a_t_pose_and_is_symmetric(path: Path) -> None:
    nodes = GlbPlayback(path).structure.nodes
    parent = {child: index for index, node in enumerate(nodes) for child in node.children or []}

    def world(index: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        x, y, z, w = nodes[index].rotation or (0.0, 0.0, 0.0, 1.0)
        local = np.eye(4)
        local[:3, 3] = nodes[index].translation or (0.0, 0.0, 0.0)
        local[:3, :3] = [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
        return world(parent[index]) @ local if index in parent else local

    at = {node.name: world(index)[:3, 3] for index, node in enumerate(nodes)}
    for name in SIDED:
        assert at[f"Right{name}"] == pytest.approx(at[f"Left{name}"] * [-1, 1, 1], abs=1e-6), name
    assert at["LeftHand"] == pytest.approx([0.69, at["LeftArm"][1], 0], abs=0.01)
    assert 0 < at["LeftFoot"][1] < 0.15
    assert 0 <= at["LeftToeBase"][1] < at["LeftFoot"][1]
    assert at["LeftToeBase"][2] > 0.05, "the feet point forward"


def test_targets_are_arkit_visemes_and_extras(path: Path) -> None:
    names = GlbPlayback(path).names
    assert len(names) == len(set(names)) == 52 + 15 + 5
    visemes = [f"viseme_{name}" for name in LIST_OF_VISEMES.split()]
    extras = ["mouthOpen", "mouthSmile", "eyesClosed", "eyesLookUp", "eyesLookDown"]
    assert names == [*ARKIT_NAMES, *visemes, *extras]
    assert {shape for mix in VISEMES.values() for shape in mix} <= set(ARKIT_NAMES)


@pytest.mark.parametrize("name", sorted(MIXES))
def test_a_mixture_moves_what_its_shapes_move(path: Path, name: str) -> None:
    file = GlbPlayback(path)
    still = file.pose_vertices({}, {})
    moved = file.pose_vertices({name: 1.0}, {}) - still
    assert moved == pytest.approx(file.pose_vertices(MIXES[name], {}) - still, abs=2e-5)
    assert (np.abs(moved).max() > 1e-4) == (name != "viseme_sil")


def test_shapes_move_jaw_and_eyeballs(head: Avatar, path: Path) -> None:
    file, limited = GlbPlayback(path), with_four_influences(head)
    raised = [0, HEAD_HEIGHT, 0]
    jaw = pose_plainly(limited, NEUTRAL_EXPRESSION, open_jaw()).vertices / UNITS_PER_METRE
    assert file.pose_vertices({"jawOpen": 1.0}, {}) == pytest.approx(jaw + raised, abs=2e-5)
    pose = np.zeros(POSE_SIZE, dtype=np.float32)
    pose[-6:] = EYE_TURNS[ARKIT_NAMES.index("eyeLookInLeft")]
    turned = pose_plainly(limited, NEUTRAL_EXPRESSION, pose).vertices
    turned = turned + head.expression_basis[head.expression_names.index("eyeLookInLeft")].T
    look = file.pose_vertices({"eyeLookInLeft": 1.0}, {})
    assert look == pytest.approx(turned / UNITS_PER_METRE + raised, abs=2e-5)
    assert file.pose_vertices({"tongueOut": 1.0}, {}) == pytest.approx(file.pose_vertices({}, {}))


def test_each_look_is_posed_once_and_the_avatar_at_rest_once(
    head: Avatar, monkeypatch: pytest.MonkeyPatch
) -> None:
    poses = []

    def pose(avatar: Avatar, expression: Any, pose: Any) -> Posed:
        poses.append(tuple(pose))
        return pose_plainly(avatar, expression, pose)

    monkeypatch.setattr("imavatar_deploy.exporters.formats.gltf.talkinghead.pose_plainly", pose)
    targets = {target.name: target.offset for target in arkit_targets(head, ())}
    looks = [name for name in ARKIT_NAMES if name.startswith("eyeLook")]
    assert len(poses) == len({*poses}) == len(looks) + 1
    limited = with_four_influences(head)
    rest = pose_plainly(limited, NEUTRAL_EXPRESSION, np.zeros(POSE_SIZE, np.float32)).vertices
    for name in looks:
        turned = np.zeros(POSE_SIZE, dtype=np.float32)
        turned[-6:] = EYE_TURNS[ARKIT_NAMES.index(name)]
        moved = pose_plainly(limited, NEUTRAL_EXPRESSION, turned).vertices - rest
        own = head.expression_basis[head.expression_names.index(name)]
        np.testing.assert_allclose(targets[name], moved.T + own, atol=1e-6)


def test_an_export_is_compared_with_the_avatar(checkpoint: Path, tmp_path: Path) -> None:
    settings = ExportSettings(
        formats=("glb",),
        glb=GlbSettings(profile="talkinghead", colour_morphs=True),
        resolution=64,
        faces=500,
    )
    report = export_avatar(checkpoint, tmp_path / "head", settings)
    (parity,) = report.parity
    assert parity.passed
    assert {row.name for row in parity.differences} == {
        "vertices",
        "colours",
        "colours of targets",
    }
    graph = open_avatar(tmp_path / "head").manifest["graphs"]["glb"]
    assert graph["profile"] == "talkinghead"
    file = GlbPlayback(tmp_path / "head" / "avatar.glb")
    light = file.attribute("COLOR_0")[:, :3]
    mixed = sum(
        weight * (file.colours_at(shape) - light) for shape, weight in MIXES["viseme_aa"].items()
    )
    assert file.colours_at("viseme_aa") == pytest.approx((light + mixed).clip(0, 1), abs=0.02)


def test_what_the_profile_cannot_hold_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"profile of a GLB.*plain"):
        GlbSettings(profile="ready")
    with pytest.raises(UsageError, match="needs all of its morph targets"):
        GlbSettings(profile="talkinghead", max_targets=60)
    glb = GlbSettings(profile="talkinghead")
    settings = ExportSettings(formats=("glb",), glb=glb, track=read_track("talk"))
    with pytest.raises(UsageError, match=re.escape("(--track) out")):
        export_avatar(checkpoint, tmp_path / "head", settings)
