"""`--format report`: the page of the fidelity report, with pictures of every stage."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from imavatar_deploy.avatar_io import open_avatar
from imavatar_deploy.errors import UsageError
from imavatar_deploy.exporters.add import add_formats
from imavatar_deploy.exporters.export import export_avatar
from imavatar_deploy.exporters.fidelity.options import FidelitySettings
from imavatar_deploy.exporters.formats.report.page import (
    COLUMNS,
    Gallery,
    HeldOutImages,
    write_gallery,
)
from imavatar_deploy.exporters.formats.table import ready_formats
from imavatar_deploy.exporters.manifest import LICENCES
from imavatar_deploy.exporters.settings import ExportSettings
from imavatar_deploy.exporters.student.options import StudentSettings
from imavatar_deploy.fidelity.stage_metrics import FrameImages, StageReport
from imavatar_deploy.marking import STATEMENT, TERM

from .conftest import STUDENT_PSNR, STUDENT_STEPS, Exported

NAMES = ("at rest", "jaw open, <head> turned")


def frame(grey: float) -> FrameImages:
    normal = np.zeros((16, 16, 3), dtype=np.float32)
    normal[..., 2] = 1.0
    return FrameImages(
        np.full((16, 16, 3), grey, dtype=np.float32), normal, np.ones((16, 16), dtype=bool)
    )


def references(page: str) -> list[str]:
    return re.findall(r'(?:src|href)="([^"]*)"', page)


class Structure(HTMLParser):
    """Elements, pictures and texts of a page; fails where an element is not closed in order."""

    VOID = ("meta", "img", "br")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.pictures: list[dict[str, str | None]] = []
        self.headings: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self._open.append(tag)
        if tag == "img":
            self.pictures.append(dict(attrs))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "h2":
            self.headings.append(data)


def gallery(held_out: bool = False) -> Gallery:
    students = {"student": [frame(0.6)], "refined": [frame(0.52)]}
    limits = {"psnr": 30.0, "worst_psnr": 28.0}
    return Gallery(
        name="a <head>",
        facts={"Surface": "2,000 faces", "Licence": "CC0 & free"},
        frames=NAMES,
        images={
            "implicit": [frame(0.5), frame(0.4)],
            "baked": [frame(0.55), frame(0.4)],
            "student": [frame(0.6), frame(0.4)],
        },
        reports={
            "baked": StageReport(
                "baked", "implicit", "baked", {"psnr": 31.0, "worst_psnr": 26.0}, limits
            ),
            "student": StageReport(
                "student", "baked", "student", {"psnr": 32.0, "worst_psnr": 29.0}
            ),
            "browser": StageReport("browser", "student", "browser", not_run="no <Chromium> here"),
        },
        left_out=[np.zeros((16, 16), dtype=bool)] * 2,
        held_out=HeldOutImages([frame(0.5)], students) if held_out else None,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gallery")
    write_gallery(folder, gallery())
    return folder / "report"


def test_page_refers_to_its_own_files_alone(folder: Path) -> None:
    page = (folder / "index.html").read_text()
    assert references(page)
    assert {*references(page)} == {path.name for path in folder.iterdir()} - {"index.html"}
    for word in ("http:", "https:", "//", "<script", "url(", "@import"):
        assert word not in page


def test_page_is_well_formed_and_describes_its_pictures(folder: Path) -> None:
    structure = Structure((folder / "index.html").read_text())
    assert structure.headings == ["Stages", *NAMES]
    assert len(structure.pictures) == 10  # three stages, two with a difference, in two frames
    texts = [picture["alt"] for picture in structure.pictures]
    assert all(texts)
    assert len({*texts}) == len(texts)
    assert all(picture["width"] == "16" for picture in structure.pictures)


def test_header_names_the_avatar_and_its_conditions(folder: Path) -> None:
    page = (folder / "index.html").read_text()
    assert "<h1>Fidelity report: a &lt;head&gt;</h1>" in page
    assert "<dt>Surface</dt><dd>2,000 faces</dd>" in page
    assert "CC0 &amp; free" in page
    assert STATEMENT in page


def test_columns_that_were_not_run_say_so(folder: Path) -> None:
    page = (folder / "index.html").read_text()
    assert page.count("not run: no &lt;Chromium&gt; here") == 1 + len(NAMES)
    assert page.count("not run: no refinement (--refine)") == 1 + len(NAMES)
    for stage in COLUMNS:
        assert page.count(f"<h3>{stage}</h3>") == len(NAMES)


def test_table_has_figures_limits_and_misses(folder: Path) -> None:
    page = (folder / "index.html").read_text()
    assert '<span class="missed">31.0 dB (26.0 dB) MISSED</span>' in page
    assert "<small>at least 30.0 dB (28.0 dB)</small>" in page
    assert "<td>32.0 dB (29.0 dB)</td>" in page


def test_figures_of_a_frame_are_under_its_pictures(folder: Path) -> None:
    page = (folder / "index.html").read_text()
    student = page.split("<h3>student</h3>")[1].split("<h3>")[0]
    assert "<dt>PSNR</dt><dd>26.0 dB</dd>" in student  # 0.05 from the baked frame
    assert "<dt>PSNR from implicit</dt><dd>20.0 dB</dd>" in student
    assert "<dt>mask IoU</dt><dd>1.0000</dd>" in student
    assert "<dt>normals</dt><dd>0.00°</dd>" in student


def test_differences_are_those_of_the_figures_amplified(folder: Path) -> None:
    page = (folder / "index.html").read_text()
    assert "difference from baked, x8" in page
    difference = cv2.imread(str(folder / "0_student_difference.jpg"))
    assert difference is not None
    assert np.abs(difference.astype(float) / 255 - 8 * 0.05).max() < 0.01
    still = cv2.imread(str(folder / "1_student_difference.jpg"))
    assert still is not None
    assert not still.any()


def test_held_out_images_are_a_second_section(tmp_path: Path) -> None:
    write_gallery(tmp_path, gallery(held_out=True))
    report = tmp_path / "report"
    structure = Structure((report / "index.html").read_text())
    assert structure.headings == ["Stages", *NAMES, "Held-out image 1"]
    page = (report / "index.html").read_text().split("Held-out image 1", 1)[1]
    assert "difference from the photograph, x8" in page
    assert "<dt>PSNR</dt><dd>34.0 dB</dd>" in page  # 0.02 from the photograph
    assert TERM.encode() not in (report / "held_out_0.jpg").read_bytes()
    assert TERM.encode() in (report / "held_out_0_refined.jpg").read_bytes()


def test_pictures_have_a_mark_and_a_bounded_size(tmp_path: Path) -> None:
    large = np.full((700, 1400, 3), 0.5, dtype=np.float32)
    big = FrameImages(large, large, np.ones((700, 1400), dtype=bool))
    one = Gallery("head", {}, ("at rest",), {"implicit": [big]}, {}, [~big.mask])
    for synthetic_mark in (True, False):
        write_gallery(tmp_path, one, synthetic_mark=synthetic_mark)
        data = (tmp_path / "report" / "0_implicit.jpg").read_bytes()
        page = (tmp_path / "report" / "index.html").read_text()
        assert (TERM.encode() in data) == (TERM in page) == (STATEMENT in page) == synthetic_mark
    picture = cv2.imread(str(tmp_path / "report" / "0_implicit.jpg"))
    assert picture is not None
    assert picture.shape == (256, 512, 3)


def test_an_avatar_folder_needs_its_checkpoint(exported: Exported, tmp_path: Path) -> None:
    settings = ExportSettings(formats=("report",))
    with pytest.raises(UsageError, match="report needs the networks.*export the checkpoint"):
        add_formats(exported.folder, tmp_path / "copy", settings)
    assert not (tmp_path / "copy").exists()


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
    assert "0_student.jpg" in page
    assert "0_browser.jpg" not in page
    assert "Fidelity report: avatar" in page
    assert "openhead" in page
    assert LICENCES["openhead"].replace("'", "&#x27;") in page
    assert len(Structure(page).pictures) == 5 * len(Structure(page).headings[1:])
