"""Evaluation from Python: what is recognised, what is written, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.training import PRESETS, FaceDataset, RunFolder, evaluate, train

from .disc_dataset import SETTINGS
from .drawn_video import write_video

FRAMES = 2
SIZE = 32


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> FaceDataset:
    folder = write_video(
        tmp_path_factory.mktemp("videos") / "video", HeadModel.load("openhead"), FRAMES
    )
    return FaceDataset.open(folder, size=SIZE)


def frames_of(dataset: FaceDataset, folder: Path, *, darker: float = 0.0) -> Path:
    """The dataset's own frames as another system would have drawn them, with the mask as alpha."""
    folder.mkdir()
    for index in range(len(dataset)):
        frame = dataset.observation(index)
        rgb = np.clip(frame.image - darker, 0.0, 1.0)
        rgba = np.dstack([rgb[..., ::-1], frame.mask.astype(np.float32)])
        cv2.imwrite(str(folder / f"{frame.name}.png"), np.rint(255 * rgba).astype(np.uint8))
    return folder


def test_foreign_frames_are_scored(dataset: FaceDataset, tmp_path: Path) -> None:
    frames = frames_of(dataset, tmp_path / "theirs", darker=0.1)
    report = evaluate(frames, dataset, tmp_path / "report", title="a drawn video")
    assert report.scores.mean("mask IoU") == 1.0
    psnr = report.scores.mean("PSNR")
    assert psnr is not None
    assert 19.0 < psnr < 25.0, "0.1 is 20 dB, and less where the truth is darker than that"
    assert "LPIPS" in report.scores.unmeasured
    assert report.scores.mean("LPIPS") is None
    for statistics in (report.scores.mean, report.scores.summary):
        with pytest.raises(UsageError, match="unknown metric 'psnrx': expected one of .*PSNR"):
            statistics("psnrx")
    written = json.loads((tmp_path / "report" / "report.json").read_text())
    assert written["dataset"] == "a drawn video"
    assert written["metrics"]["PSNR"]["mean"] == pytest.approx(psnr)
    assert cv2.imread(str(tmp_path / "report" / "contact_sheet.png")).std() > 10


def test_an_earlier_report_is_replaced_on_request_alone(
    dataset: FaceDataset, tmp_path: Path
) -> None:
    frames = frames_of(dataset, tmp_path / "theirs")
    evaluate(str(frames), dataset, str(tmp_path / "report"))
    with pytest.raises(UsageError, match="report"):
        evaluate(frames, dataset, tmp_path / "report")
    report = evaluate(frames, dataset, tmp_path / "report", overwrite=True, masking="published")
    assert report.masking.name == "published"


def test_unknown_choices_are_refused(dataset: FaceDataset, tmp_path: Path) -> None:
    frames = frames_of(dataset, tmp_path / "theirs")
    with pytest.raises(UsageError, match="masking 'heads'"):
        evaluate(frames, dataset, tmp_path / "report", masking="heads")
    with pytest.raises(UsageError, match="kind of source 'frame'"):
        evaluate(frames, dataset, tmp_path / "report", kind="frame")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="has no PNG in it"):
        evaluate(tmp_path / "empty", dataset, tmp_path / "report", kind="frames")
    assert not (tmp_path / "report").exists()


def test_a_dataset_is_given_by_its_path(dataset: FaceDataset, tmp_path: Path) -> None:
    head = HeadModel.load("openhead")
    video = write_video(tmp_path / "video", head, FRAMES)
    theirs = FaceDataset.open(video)
    frames = frames_of(theirs, tmp_path / "theirs")
    by_object = evaluate(frames, theirs, tmp_path / "of_object")
    by_path = evaluate(frames, str(video), tmp_path / "of_path")
    by_list = evaluate(frames, [video], tmp_path / "of_list")
    assert by_path.scores.values["PSNR"] == by_object.scores.values["PSNR"]
    assert by_list.scores.values["PSNR"] == by_object.scores.values["PSNR"]
    with pytest.raises(UsageError, match="dataset must be a FaceDataset, a path .* got int"):
        evaluate(frames, 7, tmp_path / "report")  # type: ignore[arg-type]


def test_a_run_takes_a_path_and_a_preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = write_video(tmp_path / "video", HeadModel.load("openhead"), FRAMES)
    monkeypatch.setitem(PRESETS, "tiny", replace(SETTINGS, size=SIZE))
    run = train(str(video), tmp_path / "run", "tiny", device="cpu")
    assert RunFolder(run).settings() == PRESETS["tiny"]
    with pytest.raises(UsageError, match="dataset must be a FaceDataset, a path .* got int"):
        train(7, tmp_path / "other", "tiny")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="unknown preset 'tin'"):
        train(video, tmp_path / "other", "tin")
    with pytest.raises(UsageError, match="settings must be TrainSettings or .*tiny.* got dict"):
        train(video, tmp_path / "other", {})  # type: ignore[arg-type]
    assert not (tmp_path / "other").exists()
