"""Compositing: rounding to the nearest byte, halves upwards, clipping to the range."""

from __future__ import annotations

import numpy as np
import pytest

from imavatar_deploy.rendering.compositing import composite
from imavatar_deploy.rendering.renderer import COLOURS, background_rgba
from imavatar_deploy.rendering.workers import Workers


@pytest.mark.parametrize(
    ("value", "byte"),
    [
        (0.0, 0),
        (1.0, 255),
        (0.5, 128),
        (0.499 / 255, 0),
        (0.5 / 255, 1),
        (2.499 / 255, 2),
        (2.501 / 255, 3),
        (254.6 / 255, 255),
        (-0.2, 0),
        (1.7, 255),
        (np.nan, 0),
        (np.inf, 255),
    ],
)
def test_rounding(value: float, byte: int, workers: Workers) -> None:
    colours = np.full((5, 4, 3), value, dtype=np.float32)
    image = composite(colours, np.zeros((5, 4), dtype=np.int32), (1, 2, 3, 4), workers)
    np.testing.assert_array_equal(image, np.broadcast_to([byte, byte, byte, 255], image.shape))


def test_what_is_not_covered_is_background(workers: Workers) -> None:
    triangle = np.full((6, 3), -1, dtype=np.int32)
    triangle[2, 1] = 9
    image = composite(np.full((6, 3, 3), np.nan, dtype=np.float32), triangle, (1, 2, 3, 4), workers)
    np.testing.assert_array_equal(image[triangle < 0], np.broadcast_to([1, 2, 3, 4], (17, 4)))
    np.testing.assert_array_equal(image[2, 1], [0, 0, 0, 255])


def test_backgrounds() -> None:
    assert background_rgba(None) == (0, 0, 0, 0)
    assert background_rgba("#0A10ff") == (10, 16, 255, 255)
    assert background_rgba("white") == (255, 255, 255, 255)
    assert background_rgba((1, 2, 3)) == (1, 2, 3, 255)
    assert all(len(background_rgba(name)) == 4 for name in COLOURS)
