"""`imavatar-data track` from a rendered clip to a dataset that passes the checks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import Result

from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.training import FaceDataset
from imavatar_deploy.training.dataset.check import check
from imavatar_deploy.training.tracking import track_video
from imavatar_deploy.training.tracking.result import TrackResult
from imavatar_deploy.training.tracking.settings import MIN_FRAMES, TrackSettings
from imavatar_deploy.training.tracking.work_folder import WORK

from .filmed import FOCAL, FRAMES, SIDE, SIZE, call, encode, images_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def subject(filmed_subject: Path) -> Path:
    return filmed_subject


@pytest.fixture(scope="module")
def images(subject: Path) -> list[np.ndarray]:
    return images_of(subject)


@pytest.fixture(scope="module")
def clip(filmed_clip: Path) -> Path:
    return filmed_clip


@pytest.fixture(scope="module")
def run(filmed_run: tuple[Path, Result]) -> tuple[Path, Result]:
    return filmed_run


@pytest.fixture
def dataset(run: tuple[Path, Result]) -> Path:
    out, result = run
    assert result.exit_code == 0, result.output
    return out


def test_the_command_ends_with_figures_and_the_next_commands(
    run: tuple[Path, Result], dataset: Path
) -> None:
    lines = run[1].stdout.splitlines()
    assert f"me.mp4: {FRAMES} frames" in lines[0]
    assert lines[1] == "me.mp4: An avatar of this video would be poor. Film again."
    assert lines[2].startswith(f"  Only {FRAMES} frames can be used")
    report = json.loads((dataset / "track_report.json").read_text())
    assert [line.strip() for line in lines[2:4]] == [item["text"] for item in report["advice"][:2]]
    assert lines[4] == f"  all advice: {dataset / 'report.html'}"
    assert f"wrote {dataset} (" in lines[5]
    assert f"wrote {dataset / 'report.html'} (" in lines[6]
    assert f"wrote {dataset / 'overlay.mp4'} (" in lines[7]
    assert lines[8].startswith("took ")
    assert lines[9:] == [
        f"next: imavatar-data check {dataset}",
        f"next: imavatar-train {dataset} --out run",
    ]


def test_the_dataset_passes_the_checks_and_opens(dataset: Path) -> None:
    assert [str(finding) for finding in check([dataset], size=SIZE)] == []
    opened = FaceDataset.open([dataset], size=SIZE)
    assert len(opened) == FRAMES


def test_nothing_of_the_work_is_left(dataset: Path) -> None:
    names = {path.name for path in dataset.iterdir()}
    assert names == {
        "image", "mask", "semantic", "flame_params.json", "track.npz", "track.json",
        "report.html", "track_report.json", "overlay.mp4", "consent.json",
    }  # fmt: skip
    assert json.loads((dataset / "consent.json").read_text())["how"] == "option"


def test_the_result_can_be_read_back(dataset: Path) -> None:
    result = TrackResult.load(dataset)
    assert len(result) == FRAMES
    assert result.names == tuple(str(k) for k in range(1, FRAMES + 1))
    assert result.landmarks.shape == (FRAMES, 478, 3)
    assert result.focal_source == "--focal"
    assert result.intrinsics[0] * SIZE == pytest.approx(FOCAL * SIZE / SIDE, rel=0.5)
    assert result.video == "me.mp4"
    assert result.image_path(0).is_file()
    assert (dataset / "image" / "1.png").is_file()


def test_the_head_lies_on_the_face(dataset: Path) -> None:
    result = TrackResult.load(dataset)
    assert np.nanmean(result.fit.errors) < 0.02 * SIZE


def test_masks_and_labels_agree_with_the_truth(dataset: Path, subject: Path) -> None:
    """The square is compared with the rendered masks, cut by the intrinsics of both."""
    result = TrackResult.load(dataset)
    overlap: dict[str, list[float]] = {"mask": [], "hair": [], "cloth": [], "skin": []}
    ids = {"hair": (17,), "cloth": (16,), "skin": (1, 10)}
    side = FOCAL / float(result.intrinsics[0])
    left = (SIDE - 1) / 2 + 0.5 - side * (float(result.intrinsics[2]) + 0.5 / SIZE)
    top = (SIDE - 1) / 2 + 0.5 - side * (float(result.intrinsics[3]) + 0.5 / SIZE)
    scale = side / SIZE
    place = np.array([[scale, 0, left + scale / 2 - 0.5], [0, scale, top + scale / 2 - 0.5]])
    for name, source in zip(result.names, result.source_frames, strict=True):
        truth = cv2.imread(str(subject / "semantic" / f"{source + 1}.png"), cv2.IMREAD_GRAYSCALE)
        flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
        truth = cv2.warpAffine(truth, place, (SIZE, SIZE), flags=flags)
        labels = cv2.imread(str(dataset / "semantic" / f"{name}.png"), cv2.IMREAD_GRAYSCALE)
        mask = cv2.imread(str(dataset / "mask" / f"{name}.png"), cv2.IMREAD_GRAYSCALE)
        overlap["mask"].append(iou(mask > 127, truth > 0))
        for kind, numbers in ids.items():
            overlap[kind].append(iou(np.isin(labels, numbers), np.isin(truth, numbers)))
    means = {kind: float(np.mean(values)) for kind, values in overlap.items()}
    assert means["mask"] > 0.96, means
    assert min(means["hair"], means["cloth"], means["skin"]) > 0.75, means


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / max((one | other).sum(), 1))


def test_a_head_that_does_not_fit_is_withheld(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imavatar_deploy.training.tracking.track_video.NO_FIT_ERROR", 1e-4)
    out = tmp_path / "out"
    result = call(clip, "--out", out, "--size", SIZE, "--i-may-use-this-face")
    assert result.exit_code == 3
    assert "check --focal" in result.stderr
    assert not out.exists()


# Outputs


def test_a_finished_dataset_is_replaced_only_with_overwrite(dataset: Path, clip: Path) -> None:
    result = call(clip, "--out", dataset, "--i-may-use-this-face")
    assert result.exit_code == 2
    assert "pass --overwrite to replace it" in result.stderr
    assert "overwrite=True" not in result.stderr


def test_a_folder_with_other_things_is_refused(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "novel.txt").write_text("chapter 1")
    result = call(clip, "--out", tmp_path, "--i-may-use-this-face", "--overwrite")
    assert result.exit_code == 2
    assert "other things" in result.stderr
    assert (tmp_path / "novel.txt").read_text() == "chapter 1"


def test_consent_is_required(clip: Path, tmp_path: Path) -> None:
    result = call(clip, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "--i-may-use-this-face" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_missing_video_is_told_before_consent_is_asked_for(tmp_path: Path) -> None:
    result = call(tmp_path / "none.mp4", "--out", tmp_path / "out")
    assert result.exit_code == 6
    assert "there is no video" in result.stderr
    assert "--i-may-use-this-face" not in result.stderr


@pytest.mark.parametrize("frames", [MIN_FRAMES - 1, 0])
def test_too_few_frames_are_refused_as_the_help_says(tmp_path: Path, frames: int) -> None:
    assert f"x>={MIN_FRAMES}" in call("--help").stdout
    result = call("me.mp4", "--out", tmp_path / "out", "--frames", frames)
    assert result.exit_code == 2
    assert f"x>={MIN_FRAMES}" in result.stderr
    with pytest.raises(UsageError, match="frames must be at least"):
        track_video.track(["me.mp4"], tmp_path / "out", TrackSettings(frames=frames))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--size", "10"], "size must be between"),
        (["--focal", "-3"], "focal must be positive"),
        (["--landmarks", "none.npy"], "there is no file"),
        (["--shape-from", "none"], "none"),
    ],
)
def test_impossible_settings_are_refused_before_the_work(
    clip: Path, tmp_path: Path, options: list[str], sentence: str
) -> None:
    result = call(clip, "--out", tmp_path / "out", "--i-may-use-this-face", *options)
    assert result.exit_code in (2, 6)
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


# Interruptions


class Killed(Exception):
    pass


def test_an_interrupted_tracking_continues_with_the_same_result(
    dataset: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = TrackSettings(size=SIZE, focal=FOCAL, report=False)
    out = tmp_path / "out"
    write = track_video.write_pictures

    def kill(*arguments: Any) -> Any:
        write(*arguments)
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(track_video, "write_pictures", kill)
        track_video.track([clip], out, settings)
    assert [path.name for path in out.iterdir()] == [WORK]
    lines: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(track_video, "fit_videos", lambda *a, **k: pytest.fail("fitted again"))
        (result,) = track_video.track([clip], out, settings, say=lines.append)
    assert "continuing" in lines[0]
    assert result.folder == out
    for kind in ("image", "mask", "semantic"):
        for path in (dataset / kind).iterdir():
            assert path.read_bytes() == (out / kind / path.name).read_bytes(), path.name
    first, second = (json.loads((d / "flame_params.json").read_text()) for d in (dataset, out))
    assert first == second


# Videos that cannot be used


def sentence_of(path: Path, out: Path) -> str:
    with pytest.raises(InputError) as caught:
        track_video.track([path], out, TrackSettings(size=SIZE))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_video_without_a_face(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (20, 96, 128, 3)).astype(np.uint8)
    path = encode(list(noise), tmp_path / "noise.mp4")
    assert "shows no face" in sentence_of(path, tmp_path / "out")


def test_a_video_of_five_frames(images: list[np.ndarray], tmp_path: Path) -> None:
    path = encode(images[:5], tmp_path / "short.mp4")
    assert "has only 5 frames" in sentence_of(path, tmp_path / "out")


def test_settings_of_one_video_with_several(clip: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(clip, tmp_path / "second.mp4"))
    with pytest.raises(UsageError, match="belongs to one video"):
        track_video.track([clip, copy], tmp_path / "out", TrackSettings(masks=tmp_path))
