"""The fidelity report from Python: read as the export wrote it, and measured anew without torch."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from imavatar_deploy.avatar_io import SAMPLE, open_avatar, sha256
from imavatar_deploy.camera import Camera
from imavatar_deploy.errors import InputError
from imavatar_deploy.fidelity import (
    ParityReport,
    StageReport,
    read_fidelity,
    verify_avatar,
)
from imavatar_deploy.fidelity.draw import compare_held_out, draw
from imavatar_deploy.fidelity.held_out_frames import HeldOutFrames
from imavatar_deploy.fidelity.report import fidelity_of, written_stages
from imavatar_deploy.fidelity.stage_metrics import REFINED, STAGE_NAMES, measure
from imavatar_deploy.runtime import Player
from imavatar_deploy.tracks import read_track


def copy_of_sample(folder: Path) -> Path:
    shutil.copytree(SAMPLE, folder)
    return folder


def rewrite(folder: Path, name: str, document: object) -> None:
    """Replace a JSON file of an avatar folder, and its hash with it."""
    (folder / name).write_text(json.dumps(document), encoding="utf-8")
    manifest = json.loads((folder / "avatar.json").read_text(encoding="utf-8"))
    if name in manifest["files"]:
        manifest["files"][name]["sha256"] = sha256(folder / name)
        (folder / "avatar.json").write_text(json.dumps(manifest), encoding="utf-8")


def test_a_report_is_read_as_it_was_written() -> None:
    written = open_avatar("sample").manifest["fidelity"]
    report = read_fidelity("sample")
    assert [stage.as_dict() for stage in report.stages] == written["stages"]
    assert [parity.as_dict() for parity in report.parity] == written["parity"]
    assert tuple(stage.name for stage in report.stages) == (*STAGE_NAMES, REFINED)
    assert all(isinstance(stage, StageReport) for stage in report.stages)
    assert all(isinstance(parity, ParityReport) for parity in report.parity)
    assert report.passed
    assert report.drift == ""
    assert report.surface == written["surface"]
    assert report.student == written["student"]
    baked, tensorrt = report.stage("baked"), report.stage("tensorrt")
    assert baked is not None
    assert baked.measures == written["stages"][0]["measures"]
    assert baked.measures["psnr"] > baked.limits["psnr"]
    assert tensorrt is not None
    assert tensorrt.not_run
    assert report.stage("vulkan") is None


def test_a_miss_and_its_reason_are_read() -> None:
    manifest = json.loads(json.dumps(open_avatar("sample").manifest))
    written = manifest["fidelity"]
    written["stages"][0]["measures"]["psnr"] = 20.0
    (texture,) = [row for row in written["parity"] if row["subject"] == "texture"]
    texture["arrays"]["rgb"]["problem"] = "differs by 0.5"
    written["drift"] = {"date": "2026-01-02", "reason": "a sketch", "misses": "much"}
    report = fidelity_of(manifest)
    assert not report.passed
    assert "median PSNR 20.0 dB (at least 36.0 dB required" in report.problems()
    assert "texture.rgb differs by 0.5" in report.problems()
    assert "a sketch" in report.drift


def test_the_names_of_version_0_2_are_read() -> None:
    manifest = json.loads(json.dumps(open_avatar("sample").manifest))
    written = manifest["fidelity"]
    written["waterfall"] = [
        {"hop": row.pop("stage"), **row} for row in json.loads(json.dumps(written.pop("stages")))
    ]
    assert fidelity_of(manifest) == read_fidelity("sample")
    assert written_stages({}) == []


@pytest.mark.parametrize("damage", ["fidelity", "parity", "stage"])
def test_a_folder_without_a_report_is_refused(tmp_path: Path, damage: str) -> None:
    folder = copy_of_sample(tmp_path / "avatar")
    manifest = json.loads((folder / "avatar.json").read_text(encoding="utf-8"))
    if damage == "fidelity":
        del manifest["fidelity"]
    elif damage == "parity":
        del manifest["fidelity"]["parity"]
    else:
        del manifest["fidelity"]["stages"][0]["stage"]
    rewrite(folder, "avatar.json", manifest)
    with pytest.raises(InputError, match="no usable fidelity report"):
        read_fidelity(folder)


def test_the_sample_is_verified_from_python() -> None:
    report = verify_avatar("sample")
    assert report.passed
    assert report.missed() == 0
    assert report.path == SAMPLE
    assert report.files == len(open_avatar("sample").manifest["files"])
    assert {parity.subject for parity in report.parity} == {"texture", "runtime", "student loop"}
    assert [stage.name for stage in report.stages] == [
        "all up to onnx",
        "refined on images",
        REFINED,
    ]
    for stage in report.stages:
        assert 30.0 < stage.measures["psnr"] < 60.0
    assert report.checks == (*report.parity, *report.stages)
    assert report.engines_not_run == {}


def test_a_miss_is_reported_and_not_raised(tmp_path: Path) -> None:
    folder = copy_of_sample(tmp_path / "avatar")
    name = "golden/tolerances.json"
    limits = json.loads((folder / name).read_text(encoding="utf-8"))
    limits["baked"]["psnr"] = 90.0
    rewrite(folder, name, limits)
    report = verify_avatar(folder)
    assert not report.passed
    assert report.missed() == 1, "the full network; a refined student follows images"
    assert "median PSNR" in report.problems()


def test_a_damaged_folder_is_refused(tmp_path: Path) -> None:
    folder = copy_of_sample(tmp_path / "avatar")
    (folder / "student.safetensors").write_bytes(b"damaged")
    with pytest.raises(InputError, match="was changed or damaged"):
        verify_avatar(folder)


def test_held_out_images_are_compared_with_means() -> None:
    """They are reduced pictures: the avatar's own, reduced, have no error but rounding."""
    folder = open_avatar("sample")
    talk = read_track("talk").select(slice(0, 90, 60))
    camera = Camera.looking_at([0.0, 0.0, 0.0], extent=1.3)
    size, factor = 32, 8
    with Player("sample", size=factor * size, shading="student", antialias="none") as player:
        images = [player.render(frame.expression, frame.pose, camera) for frame in talk.frames()]
    large = np.stack(images).reshape(len(images), size, factor, size, factor, 4).astype(float)
    weight = large[..., 3:] / 255
    cover = weight.mean(axis=(2, 4))
    rgb = (large[..., :3] * weight).mean(axis=(2, 4)) / np.maximum(cover, 1e-6)
    matrix = camera.image_matrix(size, size)
    matrix[:2] += np.float32(0.5 * (1 / factor - 1)) * matrix[2]
    held_out = HeldOutFrames(
        talk.expression,
        talk.pose,
        np.stack([matrix] * len(images)),
        np.rint(rgb).astype(np.uint8),
        (cover[..., 0] > 0.5).astype(np.uint8),
    )
    report = compare_held_out(folder, held_out, {})
    single = measure(held_out.pictures(), draw(folder, held_out, "student"), held_out.mouths)
    assert single["psnr"] < 32
    assert report.measures["psnr"] > 38
    assert report.measures["iou"] > 0.99
