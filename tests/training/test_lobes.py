"""Lobes: size and position of a ball in front of the neck; a sound head has none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from imavatar_deploy.camera import Camera
from imavatar_deploy.dataset.labels import LABELS
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.training.semantics import EMPTY_DEPTH, head_depth
from imavatar_deploy.training.validation import Lobe, largest_lobe

SIDE = 64
CAMERA = Camera.looking_at(np.array([0.0, -0.2, 0.0]), extent=1.6)
BALL, RADIUS = np.array([0.0, -0.62, 0.42]), 0.06
"""In the pocket between chin and neck, away from both."""


@pytest.fixture(scope="module")
def head(openhead: HeadModel) -> Any:
    """[S, S] depth of the head with its mouth open."""
    pose = np.zeros(15, dtype=np.float32)
    pose[6] = 0.2
    return head_depth(openhead, np.zeros(50, dtype=np.float32), pose, CAMERA, SIDE)


def skin(head: Any) -> Any:
    return np.where(head < EMPTY_DEPTH, LABELS.index("skin"), 0).astype(np.uint8)


def ball() -> tuple[Any, int, int]:
    """[S, S] depth of the ball, infinite elsewhere, and the column and row of its centre."""
    column, row, depth = CAMERA.image_matrix(SIDE, SIDE) @ np.append(BALL, 1.0)
    column, row = column / depth, row / depth
    rows, columns = np.mgrid[:SIDE, :SIDE]
    pixel = 1.6 / SIDE
    across = pixel**2 * ((rows - row) ** 2 + (columns - column) ** 2)
    front = depth - np.sqrt(np.clip(RADIUS**2 - across, 0.0, None))
    return np.where(across < RADIUS**2, front, np.inf), round(column), round(row)


def test_the_head_itself_has_no_lobe(head: Any) -> None:
    mask = head < EMPTY_DEPTH
    assert mask.mean() > 0.15
    assert largest_lobe(head, mask, head, skin(head)) is None


def test_a_head_that_is_a_pixel_off_has_no_lobe(head: Any) -> None:
    """Depths differ most at outlines, such as the chin in front of the neck."""
    for shift in ((1, 0), (0, 1), (-1, -1)):
        moved = np.roll(head, shift, axis=(0, 1))
        assert largest_lobe(moved, moved < EMPTY_DEPTH, head, skin(head)) is None


def test_a_ball_in_front_of_the_neck_is_a_lobe(head: Any) -> None:
    floating, column, row = ball()
    render, semantic = np.minimum(head, floating), skin(head)
    semantic[row - 8 : row + 9][semantic[row - 8 : row + 9] > 0] = LABELS.index("neck")
    lobe = largest_lobe(render, render < EMPTY_DEPTH, head, semantic)
    assert isinstance(lobe, Lobe)
    assert abs(lobe.column - column) <= 1
    assert abs(lobe.row - row) <= 1
    assert lobe.label == "neck"
    ahead = 250.0 * np.median((head - floating)[np.isfinite(floating)])
    assert lobe.millimetres == pytest.approx(ahead, abs=5.0)
    pixels = int(np.isfinite(floating).sum())
    assert lobe.share == pytest.approx(pixels / (semantic > 0).sum(), rel=0.25)


@pytest.mark.parametrize("label", ["hair", "cloth", "glasses", "background"])
def test_only_skin_is_judged(head: Any, label: str) -> None:
    floating, _, _ = ball()
    render, semantic = np.minimum(head, floating), skin(head)
    semantic[np.isfinite(floating)] = LABELS.index(label)
    assert largest_lobe(render, render < EMPTY_DEPTH, head, semantic) is None
