"""The page of `imavatar-create`: the verdict at its top, marked pictures, planned minutes."""

from __future__ import annotations

import base64
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from imavatar_deploy.avatar_io import MANIFEST, open_avatar
from imavatar_deploy.create.report import write_report
from imavatar_deploy.create.stages import CreateJob, CreateRequest
from imavatar_deploy.create.work import CreateFolder, StageRecord
from imavatar_deploy.fidelity.held_out_frames import REFINED_SHEET
from imavatar_deploy.marking import SOURCE_TYPE, TERM
from imavatar_deploy.video_file import open_video

FRAMES = 10
SIDE = 64

TRACK_REPORT = {
    "video": "me & you.mp4",
    "verdict": "film again",
    "advice": [
        {"code": "short", "level": "fail", "text": "Film 20 seconds or more."},
        {"code": "cheeks", "level": "note", "text": "Puff your cheeks."},
    ],
}

METRICS = {
    "PSNR": {"unit": "dB", "mean": 21.868, "worst": 20.856},
    "mask IoU": {"unit": "", "mean": 0.98668, "worst": 0.98444},
    "LPIPS": {"unit": "", "not_measured": "needs --lpips-weights"},
}


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


@pytest.fixture
def job(tmp_path: Path) -> CreateJob:
    """A finished work folder; the avatar is the bundled one."""
    work = CreateFolder(tmp_path / "me.work")
    work.plan = {"preset": "tiny", "note": "the training is short", "expected": {"track": 1.0}}
    work.stages["track"] = StageRecord("key", ["imavatar-data", "track"], True, seconds=120.0)
    names = [str(index) for index in range(FRAMES)]
    frames = [{"file_path": f"./image/{name}"} for name in names]
    write_json(work.dataset / "flame_params.json", {"frames": frames})
    write_json(work.dataset / "track_report.json", TRACK_REPORT)
    (work.dataset / "report.html").touch()
    write_json(work.held_out / "report.json", {"metrics": METRICS, "frames": [{}]})
    (work.dataset / "image").mkdir()
    picture = np.full((SIDE, SIDE, 3), 90, np.uint8)
    with open_video(work.preview, SIDE, SIDE, 25) as add_image:
        for name in names:
            cv2.imwrite(str(work.dataset / "image" / f"{name}.png"), picture)
            add_image(picture)
    return CreateJob(CreateRequest((tmp_path / "me.mp4",), Path("sample")), work)


@pytest.fixture
def page(job: CreateJob) -> str:
    return write_report(job).read_text(encoding="utf-8")


def test_verdict_is_at_the_top(page: str) -> None:
    verdict = page[page.index("<h2>Verdict</h2>") : page.index("<video")]
    assert "Video me &amp; you.mp4: film again." in verdict
    assert "<li>Film 20 seconds or more.</li>" in verdict
    assert "Puff" not in verdict
    assert 'href="dataset/report.html"' in verdict
    figures = "held-out frames (1), mean (worst): PSNR 21.9 dB (20.9), mask IoU 0.9867 (0.9844)"
    assert f"<li>{figures}</li>" in verdict
    assert "<li>the training is short</li>" in verdict
    assert "every tolerance of the export is met" in verdict


def test_missing_reports_are_left_out_of_the_verdict(job: CreateJob) -> None:
    (job.work.dataset / "track_report.json").unlink()
    (job.work.held_out / "report.json").unlink()
    page = write_report(job).read_text(encoding="utf-8")
    assert "Avatar: every tolerance" in page
    assert "mean (worst)" not in page


def test_pictures_of_the_avatar_are_marked(page: str) -> None:
    pictures = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    assert len(pictures) >= 2
    assert all(SOURCE_TYPE.encode() in base64.b64decode(picture) for picture in pictures)
    assert f'<meta name="digitalSourceType" content="{TERM}">' in page


def test_planned_and_actual_minutes_stand_side_by_side(page: str) -> None:
    row = '<td>track</td><td class="number">1.0</td><td class="number">2.0</td>'
    assert row in page
    assert "it took 2.0 times as long as planned" in page


REFINEMENT = {
    "kept": True,
    "held_out_frames": 44,
    "distilled": {"l1": 0.0147, "psnr": 27.83, "mouth_l1": 0.0234, "eyes_l1": None},
    "refined": {"l1": 0.0101, "psnr": 29.5, "mouth_l1": 0.0187, "eyes_l1": None},
}


def with_refinement(job: CreateJob, out: Path, **facts: Any) -> CreateJob:
    """The job with an avatar whose student was refined."""
    shutil.copytree(open_avatar("sample").path, out)
    manifest = json.loads((out / MANIFEST).read_text())
    manifest["fidelity"]["refinement"] = {**REFINEMENT, **facts}
    (out / MANIFEST).write_text(json.dumps(manifest))
    return replace(job, request=replace(job.request, out=out))


def test_the_refined_student_is_beside_the_distilled_one(
    job: CreateJob, page: str, tmp_path: Path
) -> None:
    assert "Refinement" not in page, "this avatar was not refined"
    refined = write_report(with_refinement(job, tmp_path / "me")).read_text(encoding="utf-8")
    section = refined[refined.index("<h2>Refinement on the frames of the training</h2>") :]
    assert "On 44 frames that the fit has not used" in section
    assert "The avatar is refined." in section
    numbers = '<td class="number">27.83</td><td class="number">29.5</td>'
    assert f"<td>PSNR, dB</td>{numbers}" in section
    assert section.count("not in view") == 2
    sheet = base64.b64encode((tmp_path / "me" / REFINED_SHEET).read_bytes()).decode()
    assert f'src="data:image/jpeg;base64,{sheet}"' in section


def test_a_refinement_that_was_left_out_is_in_the_verdict(job: CreateJob, tmp_path: Path) -> None:
    page = write_report(with_refinement(job, tmp_path / "me", kept=False)).read_text("utf-8")
    verdict = page[page.index("<h2>Verdict</h2>") : page.index("<video")]
    assert "the refinement on the frames is not better and was left out" in verdict
    assert "The avatar is distilled: the refined one is not better." in page
