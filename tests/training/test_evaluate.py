"""Evaluation from Python: what is recognised, what is written, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.training import FaceDataset, evaluate

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
