"""`--format report`: the page of the fidelity report, with pictures of every stage."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from imavatar_deploy.avatar_io import open_avatar
from imavatar_deploy.camera import orbited
from imavatar_deploy.conventions import JAW
from imavatar_deploy.errors import UsageError
from imavatar_deploy.exporters import ReportSettings
from imavatar_deploy.exporters.add import add_formats
from imavatar_deploy.exporters.export import export_avatar
from imavatar_deploy.exporters.fidelity.options import FidelitySettings
from imavatar_deploy.exporters.fidelity.viewed_frames import ViewedFrames
from imavatar_deploy.exporters.formats.report.page import (
    COLUMNS,
    Gallery,
    HeldOutImages,
    PoseImages,
    write_gallery,
)
from imavatar_deploy.exporters.formats.report.poses import POSES, ReportPose, face_of
from imavatar_deploy.exporters.formats.table import ready_formats
from imavatar_deploy.exporters.manifest import LICENCES
from imavatar_deploy.exporters.settings import ExportSettings
from imavatar_deploy.exporters.student.options import StudentSettings
from imavatar_deploy.fidelity.stage_metrics import FrameImages, StageReport
from imavatar_deploy.marking import STATEMENT, TERM
from imavatar_deploy.rendering.posing import resting_camera
from imavatar_deploy.retarget.arkit import ARKIT, ARKIT_NAMES
from imavatar_deploy.retarget.expression_map import ExpressionMap

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


def gallery(held_out: bool = False, poses: PoseImages | None = None) -> Gallery:
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
        poses=poses,
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


def test_limits_and_figures_that_are_missing_have_their_words(tmp_path: Path) -> None:
    limits = {"worst_iou": 0.985}
    measures = {"psnr": 34.0, "worst_psnr": 33.0, "iou": 0.99, "worst_iou": 0.98}
    reports = {"browser": StageReport("browser", "student", "browser", measures, limits)}
    masks = [np.ones((16, 16), dtype=bool)] * 2
    write_gallery(tmp_path, replace(gallery(), reports=reports, left_out=masks))
    page = (tmp_path / "report" / "index.html").read_text()
    assert "<small>at least (0.9850)</small>" in page
    row = page.split('<th scope="row">browser', 1)[1].split("</tr>")[0]
    cells = row.split("<td>")[1:]
    assert cells[4].startswith("not in view")  # the mouth's PSNR, where that of frames is known
    assert cells[5].startswith("not known")  # its normals: these frames have none
    assert "the figures leave these pixels out" in page


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


def test_named_poses_come_first_with_differences_and_figures(tmp_path: Path) -> None:
    images = {"implicit": [frame(0.5)], "student": [frame(0.55)]}
    poses = PoseImages(
        ["Full blink"], images, [np.zeros((16, 16), dtype=bool)], {"Smile": "no <names>"}
    )
    write_gallery(tmp_path, gallery(poses=poses))
    page = (tmp_path / "report" / "index.html").read_text()
    structure = Structure(page)
    assert structure.headings == ["Stages", "Named poses", "Full blink", "Reference frames", *NAMES]
    assert "<dt>Smile</dt><dd>not available: no &lt;names&gt;</dd>" in page
    blink = page.split("<h2>Full blink</h2>")[1].split("<h2>")[0]
    assert [one for one in references(blink)] == [
        "pose_0_implicit.jpg",
        "pose_0_student.jpg",
        "pose_0_student_difference.jpg",
    ]
    assert "difference from implicit, x8" in blink  # the baked stage has no picture of this pose
    assert "<dt>PSNR</dt><dd>26.0 dB</dd>" in blink
    assert "not run: no &lt;Chromium&gt; here" in blink


class TestNamedPoses:
    SMILE = ReportPose("Smile", {"mouthSmileLeft": 1.0, "mouthSmileRight": 0.5}, jaw=0.1)

    def test_shapes_are_the_expressions_of_these_names(self) -> None:
        names = [f"other{number}" for number in range(50)]
        names[7], names[3] = "mouthSmileLeft", "mouthSmileRight"
        face = face_of(self.SMILE, names, None)
        assert face is not None
        assert {number: face[0][number] for number in np.flatnonzero(face[0])} == {7: 1.0, 3: 0.5}
        assert face[1][JAW.start] == pytest.approx(0.1)
        assert np.count_nonzero(face[1]) == 1

    def test_shapes_of_a_flame_avatar_are_those_of_the_map(self) -> None:
        matrix = np.zeros((len(ARKIT_NAMES), 59), dtype=np.float32)
        matrix[ARKIT_NAMES.index("mouthSmileLeft"), 2] = 3.0
        matrix[ARKIT_NAMES.index("mouthSmileRight"), 2] = 1.0
        matrix[ARKIT_NAMES.index("mouthSmileLeft"), 50] = 0.2  # the jaw
        arkit_map = ExpressionMap(ARKIT, None, matrix)
        face = face_of(self.SMILE, ["1", "2"], arkit_map)
        assert face is not None
        assert face[0][2] == pytest.approx(3.5)
        assert face[1][JAW.start] == pytest.approx(0.2 + 0.1)

    def test_a_flame_avatar_without_a_map_has_no_face_of_shapes(self) -> None:
        missing = {
            name
            for name, poses in POSES.items()
            if any(face_of(pose, ["1", "2"], None) is None for pose in poses)
        }
        assert missing == {"smile", "blink"}

    def test_unknown_and_repeated_names_are_refused(self) -> None:
        with pytest.raises(UsageError, match="unknown pose of the report 'profil'.*'profile'"):
            ReportSettings(("profil",))
        with pytest.raises(UsageError, match="name 'jaw' twice"):
            ReportSettings(("jaw", "back", "jaw"))

    def test_poses_without_the_format_are_refused(self) -> None:
        with pytest.raises(UsageError, match=r"need the format report: add it to --format"):
            ExportSettings(formats=("player",), report=ReportSettings(("jaw",)))

    def test_views_turn_the_camera_about_the_head(self) -> None:
        avatar = open_avatar("sample").avatar
        camera = resting_camera(avatar)
        blank = np.zeros((3, 15), dtype=np.float32)
        views = tuple(orbited(camera, yaw=yaw, pitch=0.0, zoom=1.0) for yaw in (0.0, 1.57, -1.57))
        frames = ViewedFrames.from_views(np.zeros((3, 50), dtype=np.float32), blank, views, 32)
        nose = avatar.rest[:, avatar.rest[2].argmax()]
        across = [(pixel := matrix @ [*nose, 1.0])[0] / pixel[2] for matrix in frames.image_matrix]
        assert across[0] == pytest.approx(16, abs=2)
        assert across[1] < 12  # seen from the person's left, the nose points to the left
        assert across[2] > 20


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
    monkeypatch.setattr("imavatar_deploy.exporters.fidelity.pose_pictures.PICTURE_SIZE", 64)
    settings = ExportSettings(
        formats=("report",),
        resolution=64,
        faces=2000,
        student=StudentSettings(steps=STUDENT_STEPS),
        proof=FidelitySettings(size=48),
        report=ReportSettings(("blink", "back")),
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
    headings = Structure(page).headings
    assert headings[:5] == ["Stages", "Named poses", "Full blink", "Back", "Reference frames"]
    assert len(Structure(page).pictures) == 5 * (len(headings) - 3)
    folder = tmp_path / "avatar" / "report"
    front, back = (cv2.imread(str(folder / f"pose_{number}_student.jpg")) for number in (0, 1))
    assert front is not None
    assert back is not None
    assert front.shape == (64, 64, 3)
    assert np.abs(front.astype(float) - back).max() > 50
