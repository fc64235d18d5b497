"""`--format web`: an export of the small avatar, its report, and an avatar that is withheld."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from imavatar_deploy.avatar_io import open_avatar
from imavatar_deploy.errors import QualityError, UsageError
from imavatar_deploy.exporters.export import export_avatar
from imavatar_deploy.exporters.fidelity import stages
from imavatar_deploy.exporters.fidelity.options import FidelitySettings
from imavatar_deploy.exporters.fidelity.stages import StageInput
from imavatar_deploy.exporters.formats.web.format import FOLDER, ROWS
from imavatar_deploy.exporters.settings import ExportSettings
from imavatar_deploy.exporters.student.options import StudentSettings
from imavatar_deploy.fidelity import read_fidelity
from imavatar_deploy.fidelity.stage_metrics import BROWSER, FrameImages
from imavatar_deploy.marking import KEY
from imavatar_deploy.student import read_student
from imavatar_deploy.viewer.avatar_file import decode

from .conftest import STUDENT_PSNR, STUDENT_STEPS, Exported

(ROW,) = ROWS
needs_browser = pytest.mark.usefixtures("browser_here")


def settings(size: int = 48) -> ExportSettings:
    return ExportSettings(
        formats=("web",),
        resolution=64,
        faces=2000,
        student=StudentSettings(steps=STUDENT_STEPS),
        proof=FidelitySettings(size=size),
    )


@pytest.fixture(autouse=True)
def _quick_student(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imavatar_deploy.exporters.student.train.REQUIRED_PSNR", STUDENT_PSNR)


@pytest.mark.slow
@needs_browser
def test_an_export_writes_the_page_and_reports_the_browser(
    checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "avatar"
    report = export_avatar(checkpoint, out, settings())
    folder = open_avatar(out)
    files = {path.name for path in (out / FOLDER).iterdir()}
    assert files == {"index.html", "viewer.js", "avatar.bin"}
    stored = decode((out / FOLDER / "avatar.bin").read_bytes())
    student = read_student(folder)
    assert np.array_equal(stored.student.hidden_weight, student.hidden_weight)
    assert "likeness" in stored.header["licence"]["use"]
    assert stored.header[KEY]["synthetic"]
    browser = read_fidelity(out).stage(BROWSER)
    assert browser is not None
    assert browser.start == "student"
    assert browser.measures["worst_psnr"] > 38
    assert report.losses_mm.keys() == {"web: numbers rounded for the transfer"}
    assert 0 < report.losses_mm["web: numbers rounded for the transfer"] < 0.5
    assert any("MB for any static web server" in note for note in report.notes)
    parts = folder.manifest["graphs"]["web"]["parts"]
    assert sum(part["compressed"] for part in parts.values()) < 0.2 * sum(
        part["raw"] for part in parts.values()
    )


@pytest.mark.slow
@needs_browser
def test_a_page_that_draws_something_else_is_withheld(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = stages.draw_in_browser

    def draw_darker(folder: Path, reference: object) -> list[FrameImages]:
        frames = drawn(folder, reference)  # type: ignore[arg-type]
        return [frame._replace(rgb=np.float32(0.95) * frame.rgb) for frame in frames]

    monkeypatch.setattr(stages, "draw_in_browser", draw_darker)
    limits = tmp_path / "limits.toml"
    limits.write_text("[browser]\nworst_psnr = 40.0\n")
    with pytest.raises(QualityError, match=r"stage browser \(student -> browser\)") as raised:
        export_avatar(
            checkpoint,
            tmp_path / "avatar",
            ExportSettings(
                **{
                    **vars(settings()),
                    "proof": FidelitySettings(size=48, tolerances=limits),
                }
            ),
        )
    assert "The page does not draw what the player draws" in str(raised.value)
    assert not (tmp_path / "avatar").exists()
    assert (tmp_path / "avatar.rejected" / FOLDER / "index.html").is_file()
    assert list((tmp_path / "avatar.rejected" / "failures").iterdir())


def test_without_a_browser_the_report_says_so(
    exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    (stage,) = stages.FORMAT_STAGES
    monkeypatch.setenv("PATH", "/nowhere")
    inputs = StageInput(None, open_avatar(exported.folder), None)  # type: ignore[arg-type]
    assert stage.obstacle(inputs) == "no Chromium or Chrome on this machine"


def test_settings_that_do_not_fit_are_refused_before_the_work() -> None:
    with pytest.raises(UsageError, match=r"student=None \(--no-student\)"):
        ROW.ready(ExportSettings(formats=("web",), student=None))
    with pytest.raises(UsageError, match=r"16 or 32, got 64: .* \(--student\)"):
        ROW.ready(ExportSettings(formats=("web",), student=StudentSettings(width=64)))
    ROW.ready(settings())
