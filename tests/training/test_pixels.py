"""Pixels of a training step: half from the whole image, half from the face's box."""

from __future__ import annotations

import numpy as np
import pytest

from imavatar_deploy.training.batch import draw_labelled, draw_noise, draw_pixels


@pytest.fixture
def mask() -> np.ndarray:
    mask = np.zeros((40, 60), dtype=bool)
    mask[10:20, 30:50] = True
    return mask


def test_half_of_the_pixels_lie_strictly_inside_the_box(mask: np.ndarray) -> None:
    pixels = draw_pixels(mask, (5, 6, 15, 26), 200, np.random.default_rng(0))
    assert pixels.shape == (200, 2)
    focus = pixels[100:]
    assert focus.min(axis=0).tolist() >= [6, 7]
    assert focus.max(axis=0).tolist() <= [14, 25]
    assert np.ptp(pixels[:100], axis=0).tolist() > [40, 30]
    for half in (pixels[:100], focus):
        assert len(np.unique(half, axis=0)) == 100


def test_without_a_box_the_mask_is_the_box(mask: np.ndarray) -> None:
    focus = draw_pixels(mask, None, 400, np.random.default_rng(0))[200:]
    assert mask[focus[:, 1], focus[:, 0]].all()
    assert len(np.unique(focus, axis=0)) == mask.sum() == 200


def test_small_images_give_what_they_have(mask: np.ndarray) -> None:
    pixels = draw_pixels(mask, (0, 0, 3, 3), 10_000, np.random.default_rng(0))
    assert len(pixels) == 40 * 60 + 4


def test_an_empty_mask_means_everywhere() -> None:
    pixels = draw_pixels(np.zeros((8, 8), dtype=bool), None, 128, np.random.default_rng(0))
    assert len(np.unique(pixels[64:], axis=0)) == 64


def test_the_generator_decides(mask: np.ndarray) -> None:
    first, second, other = (
        draw_pixels(mask, None, 64, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_labelled_pixels_have_the_label() -> None:
    semantic = np.zeros((20, 30), dtype=np.uint8)
    semantic[3, 7:11] = 4
    semantic[9, 2] = 5
    pixels = draw_labelled(semantic, (4, 5), 3, np.random.default_rng(0))
    assert len(np.unique(pixels, axis=0)) == 3
    assert np.isin(semantic[pixels[:, 1], pixels[:, 0]], (4, 5)).all()
    assert len(draw_labelled(semantic, (4, 5), 50, np.random.default_rng(0))) == 5
    assert draw_labelled(semantic, (17,), 50, np.random.default_rng(0)).shape == (0, 2)


def test_half_of_the_pixels_have_condition_noise() -> None:
    noise = draw_noise(4000, 0.5, np.random.default_rng(0))
    noisy = noise.any(axis=1)
    assert noise.shape == (4000, 53)
    assert 0.45 < noisy.mean() < 0.55
    assert abs(noise[noisy].std() - 0.5) < 0.01
