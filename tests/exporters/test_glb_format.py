"""`imavatar-export --format glb,vrm` on small networks: checks, manifest, and refusal of damage."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from imavatar_deploy.avatar_io import open_avatar
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.errors import EditionMismatchError, QualityError
from imavatar_deploy.exporters.export import export_avatar
from imavatar_deploy.exporters.formats.gltf import document
from imavatar_deploy.exporters.formats.gltf.reader import GlbPlayback
from imavatar_deploy.exporters.formats.gltf.settings import GlbSettings
from imavatar_deploy.exporters.report import ExportReport
from imavatar_deploy.exporters.settings import ExportSettings
from imavatar_deploy.tracks import FlameTrack, read_track

from .test_gltf import khronos

SMALL = {"resolution": 64, "faces": 500}


@dataclass(frozen=True)
class Exported:
    folder: Path
    report: ExportReport


@pytest.fixture(scope="module")
def talk() -> FlameTrack:
    return read_track("talk").select(slice(40, 60))


@pytest.fixture(scope="module")
def both(checkpoint: Path, talk: FlameTrack, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    out = tmp_path_factory.mktemp("glb") / "head"
    settings = ExportSettings(
        formats=("glb", "vrm"), track=talk, glb=GlbSettings(colour_morphs=True), **SMALL
    )
    return Exported(out, export_avatar(checkpoint, out, settings))


@pytest.fixture(scope="module")
def textured(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    out = tmp_path_factory.mktemp("glb") / "textured"
    settings = ExportSettings(
        formats=("glb",),
        glb=GlbSettings(colour="texture", texture_size=256, colour_morphs=True),
        **SMALL,
    )
    return Exported(out, export_avatar(checkpoint, out, settings))


def test_files_are_compared_with_the_avatars_posing(both: Exported) -> None:
    compared = {
        (report.subject, row.name) for report in both.report.parity for row in report.differences
    }
    both_have = {"vertices", "colours", "colours of targets"}
    assert compared == {
        ("glb", "clip"),
        *((file, name) for file in ("glb", "vrm") for name in both_have),
    }
    assert all(report.passed for report in both.report.parity)


def test_manifest_records_files_and_losses(both: Exported) -> None:
    folder = open_avatar(both.folder)
    fact = folder.manifest["graphs"]["glb"]
    assert fact["bytes"] == (both.folder / "avatar.glb").stat().st_size
    assert fact["losses_mm"]["no pose correctives"] > 0
    assert (
        both.report.losses_mm["glb: no pose correctives"]
        == fact["losses_mm"]["no pose correctives"]
    )
    assert {"avatar.glb", "avatar.vrm", "golden/glb.safetensors"} <= set(folder.manifest["files"])
    licence = GlbPlayback(both.folder / "avatar.glb").structure.asset.extras["licence"]
    assert licence["source_sha256"] == folder.manifest["source"]["sha256"]
    assert "CC0" in licence["conditions"]


def test_texture_has_the_networks_colours(textured: Exported) -> None:
    (report,) = textured.report.parity
    assert {row.name for row in report.differences} == {
        "vertices",
        "texture",
        "colours of targets",
    }
    avatar, file = open_avatar(textured.folder).avatar, GlbPlayback(textured.folder / "avatar.glb")
    uv = file.attribute("TEXCOORD_0")
    image = cv2.imdecode(np.frombuffer(file.image(), np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (256, 256, 3)
    assert (uv >= 0).all()
    assert (uv <= 1).all()
    faces = file.array(file.primitive.indices).reshape(-1, 3)
    corners = file.attribute("POSITION")[faces]
    assert corners == pytest.approx(avatar.rest.T[avatar.faces] / UNITS_PER_METRE, abs=1e-6)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert ((normals * file.attribute("NORMAL")[faces[:, 0]]).sum(axis=1) > 0).mean() > 0.99
    assert (image.reshape(-1, 3).sum(axis=1) > 0).all(), "no texel is left empty"


def test_khronos_accepts_them(both: Exported, textured: Exported) -> None:
    result = khronos(
        both.folder / "avatar.glb", both.folder / "avatar.vrm", textured.folder / "avatar.glb"
    )
    assert result.stdout.count(": 0 errors, 0 warnings") == 3, result.stdout + result.stderr


def test_an_avatar_with_a_wrong_file_is_withheld(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metres = document._metres
    monkeypatch.setattr(document, "_metres", lambda planar: metres(planar) * np.float32(1.01))
    with pytest.raises(QualityError, match=r"glb\.vertices differs by"):
        export_avatar(checkpoint, tmp_path / "head", ExportSettings(formats=("glb",), **SMALL))
    assert [path.name for path in tmp_path.iterdir()] == ["head.rejected"]
    assert (tmp_path / "head.rejected" / "avatar.glb").is_file()
    report: dict[str, Any] = json.loads((tmp_path / "head.rejected" / "report.json").read_text())
    assert not report["parity"][0]["passed"]


def test_a_track_of_another_head_model_is_refused_before_the_work(
    checkpoint: Path, talk: FlameTrack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def extract(*arguments: Any, **options: Any) -> None:
        raise AssertionError("the long work began")

    monkeypatch.setattr("imavatar_deploy.exporters.export.extract_surface", extract)
    with pytest.raises(EditionMismatchError) as caught:
        settings = ExportSettings(formats=("glb",), track=replace(talk, edition="flame2020"))
        export_avatar(checkpoint, tmp_path / "head", settings)
    assert "--any-edition" not in str(caught.value)  # imavatar-export has no such option
