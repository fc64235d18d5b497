"""`--format report`: the page of the fidelity report, with pictures of every stage."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from imavatar_deploy.avatar_io import open_avatar
from imavatar_deploy.errors import UsageError
from imavatar_deploy.exporters.export import export_avatar
from imavatar_deploy.exporters.fidelity.options import FidelitySettings
from imavatar_deploy.exporters.formats.report.page import COLUMNS, write_gallery
from imavatar_deploy.exporters.formats.table import ready_formats
from imavatar_deploy.exporters.settings import ExportSettings
from imavatar_deploy.exporters.student.options import StudentSettings
from imavatar_deploy.fidelity.stage_metrics import FrameImages, StageReport

from .conftest import STUDENT_PSNR, STUDENT_STEPS

NAMES = ("at rest", "jaw open, <head> turned")


def frame(grey: float) -> FrameImages:
    normal = np.zeros((16, 16, 3), dtype=np.float32)
    normal[..., 2] = 1.0
    return FrameImages(
        np.full((16, 16, 3), grey, dtype=np.float32), normal, np.ones((16, 16), dtype=bool)
    )


def references(page: str) -> list[str]:
    return re.findall(r'(?:src|href)="([^"]*)"', page)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gallery")
    images = {
        "implicit": [frame(0.5), frame(0.4)],
        "baked": [frame(0.55), frame(0.4)],
        "student": [frame(0.6), frame(0.4)],
    }
    reports = {
        "baked": StageReport("baked", "implicit", "baked", {"psnr": 31.0, "worst_psnr": 26.0}),
        "student": StageReport("student", "baked", "student", {"psnr": 32.0, "worst_psnr": 27.0}),
        "browser": StageReport("browser", "student", "browser", not_run="no Chromium here"),
    }
    write_gallery(folder, NAMES, images, reports)
    return folder / "report"


def test_page_refers_to_its_own_files_alone(folder: Path) -> None:
    page = (folder / "index.html").read_text()
    assert references(page)
    assert {*references(page)} == {path.name for path in folder.iterdir()} - {"index.html"}
    assert "http:" not in page
    assert "https:" not in page
    assert page.count("<img") == len(re.findall(r'<img [^>]*alt="[^"]+"', page))
    assert "&lt;head&gt;" in page


def test_columns_that_were_not_run_say_so(folder: Path) -> None:
    page = (folder / "index.html").read_text()
    assert "not run: no Chromium here" in page
    assert page.count("refined: not run") == len(NAMES)
    for title, _ in COLUMNS.values():
        assert f"<h3>{title}</h3>" in page
    assert "31.0 dB (26.0 dB)" in page


def test_differences_are_those_of_the_figures_amplified(folder: Path) -> None:
    page = (folder / "index.html").read_text()
    assert "difference from baked, 8 times" in page
    difference = cv2.imread(str(folder / "0_student_difference.png"))
    assert difference is not None
    assert np.abs(difference.astype(float) / 255 - 8 * 0.05).max() < 0.01
    still = cv2.imread(str(folder / "1_student_difference.png"))
    assert still is not None
    assert not still.any()


def test_without_a_student_it_is_refused() -> None:
    (row,) = (row for row in ready_formats(["report"]) if row.name == "report")
    with pytest.raises(UsageError, match="the format report shows the student"):
        row.ready(ExportSettings(formats=("report",), student=None))


def test_an_export_writes_the_page_and_lists_its_files(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imavatar_deploy.exporters.student.train.REQUIRED_PSNR", STUDENT_PSNR)
    settings = ExportSettings(
        formats=("report",),
        resolution=64,
        faces=2000,
        student=StudentSettings(steps=STUDENT_STEPS),
        proof=FidelitySettings(size=48),
    )
    report = export_avatar(checkpoint, tmp_path / "avatar", settings)
    files = open_avatar(tmp_path / "avatar").manifest["files"]
    page = (tmp_path / "avatar" / "report" / "index.html").read_text()
    assert {f"report/{name}" for name in (*references(page), "index.html")} <= set(files)
    (student,) = (stage for stage in report.stages if stage.name == "student")
    assert student.value_text("psnr") in page
    assert "0_student.png" in page
    assert "0_browser.png" not in page
