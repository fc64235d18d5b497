"""Warnings of a validation: cause, place and remedy; none while the quality improves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from imavatar_deploy.marking import SOURCE_TYPE
from imavatar_deploy.training import RunFolder
from imavatar_deploy.training.validation import FrameQuality, Lobe, Validation, quality_warnings


def validation(psnr: float, iou: float, lobe: Lobe | None = None) -> Validation:
    """Two frames; the second is slightly worse."""
    better = {"psnr": psnr + 0.2, "l1": 0.01, "iou": iou + 0.002}
    worse = {"psnr": psnr - 0.2, "l1": 0.03, "iou": iou - 0.002}
    frames = [FrameQuality("25", better, 1, 2, None), FrameQuality("75", worse, 61, 92, lobe)]
    return Validation(np.zeros((2, 6, 3)), frames)


def rows(*qualities: tuple[float, float]) -> list[dict[str, Any]]:
    steps = range(0, 250 * len(qualities), 250)
    pairs = zip(steps, qualities, strict=True)
    return [{"step": step, "psnr": psnr, "iou": iou} for step, (psnr, iou) in pairs]


@pytest.mark.parametrize(
    "earlier",
    [[], rows((12.0, 0.8)), rows((12.0, 0.8), (22.4, 0.976), (25.6, 0.988)), rows((26.5, 0.995))],
)
def test_a_run_that_improves_or_varies_has_no_warnings(earlier: list[dict[str, Any]]) -> None:
    assert quality_warnings(validation(25.9, 0.989), earlier) == []


def test_a_fall_of_the_masks_is_named_with_its_place() -> None:
    earlier = rows((12.0, 0.95), (25.0, 0.976), (25.6, 0.97))
    (sentence,) = quality_warnings(validation(25.9, 0.94), earlier)
    assert "mask IoU has fallen to 0.9400 from 0.9760 at step 250" in sentence
    assert "around column 61, row 92 of the render of frame 75" in sentence
    assert "optimiser.learning_rate" in sentence


def test_the_warm_start_counts_for_the_masks() -> None:
    (sentence,) = quality_warnings(validation(19.5, 0.9), rows((12.0, 0.95)))
    assert "from 0.9500 at step 0" in sentence


def test_a_fall_of_the_colours_is_named() -> None:
    (sentence,) = quality_warnings(validation(19.5, 0.989), rows((12.0, 0.8), (25.6, 0.988)))
    assert "PSNR has fallen to 19.5 from 25.6 at step 250" in sentence


def test_a_lobe_is_reported_without_earlier_validations() -> None:
    lobe = Lobe(share=0.032, millimetres=45.4, column=60, row=90, label="neck")
    (sentence,) = quality_warnings(validation(25.9, 0.989, lobe), [])
    assert "3.2 % of the skin, labelled neck, stands 45 mm in front of the head model" in sentence
    assert "around column 60, row 90 of the render of frame 75" in sentence
    assert "--preset small" in sentence


def test_a_few_pixels_are_no_lobe() -> None:
    lobe = Lobe(share=0.002, millimetres=45.4, column=60, row=90, label="neck")
    assert quality_warnings(validation(25.9, 0.989, lobe), []) == []


def test_pictures_of_a_validation_are_marked(tmp_path: Path) -> None:
    path = RunFolder(tmp_path).write_image("step", np.full((4, 5, 3), [1.0, 0.5, 0.0]))
    assert SOURCE_TYPE.encode() in path.read_bytes()
    image = cv2.imread(str(path))
    assert image is not None
    assert image[..., ::-1][0, 0].tolist() == [255, 128, 0]
