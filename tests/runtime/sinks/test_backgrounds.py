"""Backgrounds behind transparent pixels, against the formula in integers."""

from __future__ import annotations

import numpy as np
import pytest

from imavatar_deploy.runtime.sinks import Stream
from imavatar_deploy.runtime.sinks.backgrounds import (
    DARK_GREY,
    LIGHT_GREY,
    SQUARE_SIDE,
    chequered,
    over,
    white,
)

STREAM = Stream(width=80, height=48, fps=25.0)


@pytest.mark.parametrize("ground", [white(STREAM), chequered(STREAM)], ids=["white", "chequered"])
def test_it_is_alpha_blending(ground: np.ndarray) -> None:
    image = np.random.default_rng(0).integers(0, 256, (48, 80, 4), dtype=np.uint8)
    image[:10, :, 3] = 0
    image[10:20, :, 3] = 255
    alpha = image[..., 3:].astype(int)
    exact = (image[..., :3] * alpha + ground * (255 - alpha)) / 255
    blended = over(image, ground)
    assert np.abs(blended - exact).max() <= 0.501
    np.testing.assert_array_equal(blended[:10], ground[:10])
    np.testing.assert_array_equal(blended[10:20], image[10:20, :, :3])


def test_chequered_has_squares_of_two_greys() -> None:
    ground = chequered(STREAM)
    assert ground.shape == (48, 80, 3)
    corners = ground[::SQUARE_SIDE, ::SQUARE_SIDE, 0]
    np.testing.assert_array_equal(
        corners[:2, :2], [[LIGHT_GREY, DARK_GREY], [DARK_GREY, LIGHT_GREY]]
    )
    assert (ground[:SQUARE_SIDE, :SQUARE_SIDE] == LIGHT_GREY).all()
