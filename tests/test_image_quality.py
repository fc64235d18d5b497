"""Image metrics against scikit-image, and normal angles against known rotations."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from skimage import metrics

from imavatar_deploy.errors import InputError
from imavatar_deploy.fidelity.image_metrics import (
    IDENTICAL_PSNR,
    iou,
    l1,
    normal_angle,
    psnr,
    psnr_of,
    ssim,
)

from .test_architecture import ROOT, SOURCES

OFFICIAL: Any = metrics  # untyped


def pictures(height: int = 40, width: int = 33, noise: float = 0.1) -> tuple[Any, Any]:
    """Return a smooth image and a noisy copy of it."""
    rng = np.random.default_rng(2)
    rows, columns = np.mgrid[:height, :width]
    clean = 0.5 + 0.4 * np.stack(
        [np.sin(rows / 5), np.cos(columns / 7), np.sin((rows + columns) / 9)], axis=-1
    )
    return clean, np.clip(clean + rng.normal(0, noise, clean.shape), 0, 1)


def patch(height: int = 40, width: int = 33) -> Any:
    mask = np.zeros((height, width), dtype=bool)
    mask[12:30, 8:20] = True
    return mask


def official_ssim(a: Any, b: Any, **options: Any) -> Any:
    """SSIM of scikit-image with Wang's settings: 11 x 11 Gaussian window, population covariance."""
    return OFFICIAL.structural_similarity(
        a,
        b,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1.0,
        channel_axis=-1,
        **options,
    )


@pytest.mark.parametrize("noise", [0.001, 0.1, 1.0])
def test_psnr_and_ssim_agree_with_scikit_image(noise: float) -> None:
    a, b = pictures(noise=noise)
    assert psnr(a, b) == pytest.approx(
        OFFICIAL.peak_signal_noise_ratio(a, b, data_range=1.0), rel=1e-12
    )
    assert ssim(a, b) == pytest.approx(official_ssim(a, b), abs=1e-9)


def test_float32_images_are_measured_in_double_precision() -> None:
    a, b = (picture.astype(np.float32) for picture in pictures())
    assert ssim(a, b) == pytest.approx(official_ssim(a.astype(float), b.astype(float)), abs=1e-9)


def test_a_mask_chooses_the_pixels() -> None:
    a, b = pictures()
    mask = patch()
    assert psnr(a, b, mask) == pytest.approx(
        OFFICIAL.peak_signal_noise_ratio(a[mask], b[mask], data_range=1.0), rel=1e-12
    )
    assert l1(a, b, mask) == pytest.approx(
        np.mean([abs(a[r, c] - b[r, c]) for r, c in np.argwhere(mask)])
    )
    _, similarity = official_ssim(a, b, full=True)
    assert ssim(a, b, mask) == pytest.approx(similarity[mask].mean(), abs=1e-9)


def test_what_lies_outside_the_mask_does_not_matter() -> None:
    a, b = pictures()
    damaged = np.where(patch()[..., None], b, 0.0)
    assert psnr(a, damaged, patch()) == psnr(a, b, patch())
    assert l1(a, damaged, patch()) == l1(a, b, patch())
    assert psnr(a, damaged) < psnr(a, b)


def test_l1_is_the_mean_absolute_difference() -> None:
    assert l1(np.full((4, 5, 3), 0.75), np.full((4, 5, 3), 0.5)) == pytest.approx(0.25)


def test_identical_images_are_perfect() -> None:
    a, _ = pictures()
    assert psnr(a, a) == psnr(a, a, patch()) == psnr_of(0.0) == IDENTICAL_PSNR == 200.0
    assert ssim(a, a) == pytest.approx(1.0, abs=1e-12)
    assert l1(a, a) == 0.0


def test_a_known_error_has_a_known_psnr() -> None:
    assert psnr(np.zeros((5, 5, 3)), np.full((5, 5, 3), 0.01)) == pytest.approx(40.0)


@pytest.mark.parametrize("mean_square", [1e-20, 1e-21, 1e-300, 0.0])
def test_what_differs_by_rounding_alone_is_identical(mean_square: float) -> None:
    assert psnr_of(mean_square) == pytest.approx(IDENTICAL_PSNR, rel=1e-15)


def test_what_is_not_a_number_is_not_identical() -> None:
    assert np.isnan(psnr_of(np.nan))
    assert psnr_of(np.inf) == -np.inf


FORMULA = re.compile(r"\b10(\.0)?\s*\*\s*\w*\.?log10|log10\([^)]*\)\s*\*\s*-?10\b")


@pytest.mark.parametrize(
    "path", [*SOURCES, *(ROOT / "benchmarks").glob("*.py")], ids=lambda path: path.name
)
def test_psnr_is_computed_in_one_place(path: Path) -> None:
    assert not FORMULA.search(path.read_text(encoding="utf-8")) or path.stem == "image_metrics"


def test_an_empty_mask_measures_nothing() -> None:
    a, b = pictures()
    nothing = np.zeros(a.shape[:2], dtype=bool)
    assert np.isnan([psnr(a, b, nothing), l1(a, b, nothing), ssim(a, b, nothing)]).all()
    assert normal_angle(a, b, nothing).shape == (0,)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_iou_counts_as_sets_do(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.random((6, 5)) < 0.4, rng.random((6, 5)) < 0.4
    first, second = ({tuple(place) for place in np.argwhere(mask)} for mask in (a, b))
    assert iou(a, b) == (len(first & second) / len(first | second) if first | second else 1.0)
    assert iou(a, b) == iou(b, a)


def test_iou_of_the_extremes() -> None:
    full = np.ones((3, 4), bool)
    empty = np.zeros((3, 4), bool)
    assert (iou(full, full), iou(full, empty), iou(empty, empty)) == (1.0, 0.0, 1.0)


@pytest.mark.parametrize("degrees", [0.0, 1e-5, 1.0, 45.0, 90.0, 179.0, 180.0])
def test_normals_turned_by_an_angle_differ_by_it(degrees: float) -> None:
    rng = np.random.default_rng(4)
    normals = rng.normal(size=(6, 5, 3))
    axes = np.cross(
        normals, rng.normal(size=normals.shape)
    )  # at right angles, so that the whole turn counts
    axes /= np.linalg.norm(axes, axis=-1, keepdims=True)
    turn = Rotation.from_rotvec(np.radians(degrees) * axes.reshape(-1, 3))
    turned = turn.apply(normals.reshape(-1, 3)).reshape(normals.shape)
    mask = rng.random((6, 5)) < 0.5
    angles = normal_angle(normals, 3.0 * turned, mask)
    assert angles.shape == (mask.sum(),)
    np.testing.assert_allclose(angles, degrees, atol=1e-6)


def test_a_normal_without_direction_counts_as_a_right_angle() -> None:
    up = np.broadcast_to([0.0, 0.0, 1.0], (2, 2, 3))
    np.testing.assert_array_equal(
        normal_angle(up, np.zeros((2, 2, 3)), np.ones((2, 2), bool)), [90.0] * 4
    )


A, B = pictures()
MISFITS: dict[str, tuple[Any, str]] = {
    "psnr sizes": (
        lambda: psnr(A, B[:-1]),
        r"images to compare must have one shape, got \[40, 33, 3\] and \[39, 33, 3\]",
    ),
    "ssim sizes": (lambda: ssim(A, B[:, :-1]), "must have one shape"),
    "l1 sizes": (lambda: l1(A, B[..., :1]), "must have one shape"),
    "normal sizes": (lambda: normal_angle(A, B[:-1], patch()), "must have one shape"),
    "grey images": (
        lambda: psnr(A[..., 0], B[..., 0]),
        r"image must have shape \[H, W, 3\], got \[40, 33\]",
    ),
    "mask size": (
        lambda: psnr(A, B, patch(39)),
        r"mask must have shape \[40, 33\], got \[39, 33\]",
    ),
    "ssim mask size": (lambda: ssim(A, B, patch(39)), "mask must have shape"),
    "soft mask": (lambda: l1(A, B, 0.5 * patch()), "mask must be boolean, got float64"),
    "too small": (lambda: ssim(A[:10], B[:10]), "at least 11 x 11 pixels"),
    "iou sizes": (lambda: iou(patch(), patch(39)), "masks to compare must have one shape"),
    "iou of numbers": (
        lambda: iou(patch(), 255 * patch().astype(np.uint8)),
        "mask must be boolean, got uint8",
    ),
}


@pytest.mark.parametrize(("call", "sentence"), MISFITS.values(), ids=MISFITS.keys())
def test_what_cannot_be_compared_is_refused(call: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        call()
