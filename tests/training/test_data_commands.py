"""`imavatar-data check` and `synth`: output, exit codes and error messages."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import cv2
import pytest
from click.testing import CliRunner, Result

from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.training import synthetic
from imavatar_deploy.training.commands.data import SUBJECTS, data

from .drawn_video import SIDE, write_video

FRAMES = 10


def call(*arguments: Any) -> Result:
    return CliRunner().invoke(data, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def original(openhead: HeadModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("original") / "anna", openhead, FRAMES)


def test_a_good_dataset_is_summed_up_and_the_next_command_given(original: Path) -> None:
    result = call("check", original, "--size", SIDE)
    assert result.exit_code == 0, result.output
    assert "anna has image, mask, semantic, normal, depth" in result.output
    assert "anna labels: background, skin, nose, cloth, hair" in result.output
    assert f"fine: {FRAMES} frames can be trained on" in result.output
    assert f"next: imavatar-train {original} --out run" in result.output


def test_the_next_command_trains_on_what_was_checked(original: Path) -> None:
    result = call("check", original, "--size", SIDE, "--video", "anna", "--head-model", "openhead")
    assert (
        f"next: imavatar-train {original} --video anna --head-model openhead --out run"
        in result.output
    )


def test_errors_end_with_exit_code_6_and_a_count(original: Path, tmp_path: Path) -> None:
    video = Path(shutil.copytree(original, tmp_path / "anna"))
    (video / "mask/3.png").unlink()
    (video / "image/5.png").write_bytes(b"")
    result = call("check", video, "--size", SIDE)
    assert result.exit_code == 6
    assert f"error: {video}/mask/3.png is missing" in result.output
    assert f"error: {video}/image/5.png is not a readable picture" in result.output
    assert "2 errors in this dataset: fix them, or remove the frames" in result.stderr
    assert f"8 of {FRAMES}" in result.output


def test_warnings_are_no_errors(original: Path, tmp_path: Path) -> None:
    video = Path(shutil.copytree(original, tmp_path / "anna"))
    shutil.copy(video / "image/1.png", video / "image/extra.png")
    result = call("check", video, "--size", SIDE)
    assert result.exit_code == 0
    assert "warning: " in result.output
    assert "image holds extra.png that flame_params.json does not list" in result.output


def test_a_preview_shows_frames_with_outline_and_landmarks(original: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    result = call("check", original, "--size", SIDE, "--preview", sheet)
    assert result.exit_code == 0
    assert f"wrote {sheet}" in result.output
    picture = cv2.imread(str(sheet))[..., ::-1]
    assert picture.shape == (2 * 256, 6 * 256, 3), "ten tiles in rows of six"
    for colour in ((230, 40, 90), (20, 120, 255)):
        assert (picture == colour).all(axis=-1).sum() > 100


def test_a_spoilt_dataset_can_be_previewed(original: Path, tmp_path: Path) -> None:
    video = Path(shutil.copytree(original, tmp_path / "anna"))
    (video / "mask/1.png").unlink()
    assert call("check", video, "--size", SIDE, "--preview", tmp_path / "sheet.png").exit_code == 6
    assert cv2.imread(str(tmp_path / "sheet.png"))[128, 3].tolist() == [200, 200, 200]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["check", "nowhere"], 6, "there is no dataset folder 'nowhere'"),
        (["check", "{original}", "--video", "ana"], 2, "did you mean 'anna'"),
        (["check", "{original}", "--preview", "sheet.jpg"], 2, "a preview is a .png"),
        (["check", "{original}", "--size", "0"], 2, "size must be between"),
        (["check", "{original}", "--head-model", "flame.obj"], 6, "flame.obj is no head model"),
        (["check"], 2, "Missing argument"),
        (
            ["synth", "--subject", "female1", "--out", "x", "--test", "--plus"],
            2,
            "choose one of them",
        ),
        (["synth", "--subject", "female3", "--out", "x"], 2, "unknown subject 'female3'"),
    ],
)
def test_refusals_are_one_sentence(
    original: Path, arguments: list[str], code: int, words: str
) -> None:
    result = call(*(argument.format(original=original) for argument in arguments))
    assert result.exit_code == code, result.output
    assert words in result.output
    assert "Traceback" not in result.output


def test_every_subject_is_in_the_help() -> None:
    assert SUBJECTS.split("|") == sorted(synthetic.SUBJECTS)
    assert SUBJECTS in call("synth", "--help").output


@pytest.mark.parametrize(
    ("flags", "which", "following"),
    [
        ([], "train", "imavatar-train {out}"),
        (["--plus"], "train+", "imavatar-train {out}"),
        (["--test"], "test", "imavatar-eval run --data {out}"),
    ],
)
def test_synth_passes_its_options_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], which: str, following: str
) -> None:
    options: dict[str, Any] = {}

    def synthesise(subject: str, out: Path, **arguments: Any) -> None:
        options.update(arguments, subject=subject)
        out.mkdir()

    monkeypatch.setattr(synthetic, "synthesise", synthesise)
    out = tmp_path / "set"
    result = call(
        "synth",
        "--subject",
        "male1",
        "--out",
        out,
        "--frames",
        3,
        "--size",
        64,
        "--seed",
        7,
        *flags,
    )
    assert result.exit_code == 0, result.output
    options.pop("progress")
    expected = {
        "subject": "male1",
        "which": which,
        "frames": 3,
        "size": 64,
        "seed": 7,
        "overwrite": False,
    }
    assert options == expected
    assert f"next: {following.format(out=out)}" in result.output
