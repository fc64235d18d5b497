"""Image quality metrics on numpy arrays: PSNR, SSIM, L1, mask IoU and normal angle.

Images are float arrays `[H, W, 3]` in 0..1. A mask is boolean `[H, W]`, and only its pixels count.
For a mask without pixels the result is NaN.
"""

from __future__ import annotations

import numpy as np

from imavatar_deploy.arrays import Array, Bool, Float, Float64, Shaped
from imavatar_deploy.checks import ensure_shape
from imavatar_deploy.errors import InputError

WINDOW = 11
"""Side of SSIM's window in pixels."""

SIGMA = 1.5
"""Standard deviation of SSIM's Gaussian window in pixels."""

STABILISERS = (0.01**2, 0.03**2)
"""C1 and C2 of SSIM for values in 0..1 (Wang et al. 2004, section III-B). They and the window are
those of the paper's reference code."""

IDENTICAL_PSNR = 200.0
"""PSNR in dB of identical images, and the largest value of `psnr`.

It belongs to a mean square of 1e-20, which is rounding error in float64. It is finite, so that one
identical frame makes no mean infinite, and valid in JSON."""


def psnr_of(mean_square: float) -> float:
    """Return the PSNR in dB of values in 0..1 from their mean squared difference.

    At most `IDENTICAL_PSNR`; NaN stays NaN.
    """
    return float(-10.0 * np.log10(np.maximum(mean_square, 10.0 ** (-IDENTICAL_PSNR / 10.0))))


def psnr(
    a: Float[Array, "..."], b: Float[Array, "..."], mask: Shaped[Array, "..."] | None = None
) -> float:
    """Peak signal-to-noise ratio of two images in dB; `IDENTICAL_PSNR` if they are identical.

    Raises:
        InputError: the shapes differ, or are not those of images and their mask.
    """
    return psnr_of(_mean(np.square(_pixels(*_pair(a, b), mask))))


def l1(
    a: Float[Array, "..."], b: Float[Array, "..."], mask: Shaped[Array, "..."] | None = None
) -> float:
    """Mean absolute difference over pixels and channels.

    Raises:
        InputError: the shapes differ, or are not those of images and their mask.
    """
    return _mean(np.abs(_pixels(*_pair(a, b), mask)))


def ssim(
    a: Float[Array, "..."], b: Float[Array, "..."], mask: Shaped[Array, "..."] | None = None
) -> float:
    """Structural similarity of two images (Wang et al. 2004).

    11 x 11 Gaussian window, sigma 1.5; only windows inside the image count. With a mask, the mean
    is over the windows centred on its pixels. This differs from the published evaluation, which
    blackens both images outside the mask and averages over the whole frame, so that equal black
    pixels raise the score.

    Raises:
        InputError: the shapes differ, are not those of images and their mask, or are smaller than
            the window.
    """
    first, second = _pair(a, b)
    size = list(first.shape[:2])
    if min(size) < WINDOW:
        raise InputError(f"images must be at least {WINDOW} x {WINDOW} pixels for SSIM, got {size}")
    similarity = _similarity(first, second)
    if mask is None:
        return _mean(similarity)
    margin = WINDOW // 2
    return _mean(similarity[_mask_for(first, mask)[margin:-margin, margin:-margin]])


def iou(mask_a: Shaped[Array, "..."], mask_b: Shaped[Array, "..."]) -> float:
    """Intersection over union of two masks of one shape; 1.0 when both are empty.

    Raises:
        InputError: the shapes differ, or one is not boolean.
    """
    first = _boolean(mask_a)
    second = _boolean(mask_b)
    _ensure_same_shape("masks", first, second)
    union = int(np.count_nonzero(first | second))
    return np.count_nonzero(first & second) / union if union else 1.0


def normal_angle(
    a: Float[Array, "..."], b: Float[Array, "..."], mask: Shaped[Array, "..."]
) -> Float64[Array, " M"]:
    """Angle in degrees between two normal images `[H, W, 3]` in each of the M pixels of the mask.

    Normals may have any length; the angle to a normal of length zero is 90 degrees.

    Raises:
        InputError: the shapes differ, or are not those of images and their mask.
    """
    first, second = _pair(a, b)
    pixels = _mask_for(first, mask)
    u = first[pixels]
    v = second[pixels]
    # The arc tangent is exact for small angles; the arc cosine of a rounded dot product is not.
    across = np.linalg.norm(np.cross(u, v), axis=-1)
    along = np.sum(u * v, axis=-1)
    angle = np.degrees(np.arctan2(across, along))
    return np.where((across == 0.0) & (along == 0.0), 90.0, angle)


def _similarity(
    a: Float64[Array, "H W 3"], b: Float64[Array, "H W 3"]
) -> Float64[Array, "H-10 W-10 3"]:
    """Return the SSIM index of every window (equation 13)."""
    mean_a = _blur(a)
    mean_b = _blur(b)
    variance_a = _blur(a * a) - mean_a**2
    variance_b = _blur(b * b) - mean_b**2
    covariance = _blur(a * b) - mean_a * mean_b
    c1, c2 = STABILISERS
    numerator = (2.0 * mean_a * mean_b + c1) * (2.0 * covariance + c2)
    denominator = (mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2)
    return np.asarray(numerator / denominator)


def _blur(image: Float64[Array, "H W 3"]) -> Float64[Array, "H-10 W-10 3"]:
    """Return the Gaussian mean of every window inside the image."""
    offset = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-0.5 * (offset / SIGMA) ** 2)
    weights /= weights.sum()
    rows = np.lib.stride_tricks.sliding_window_view(image, WINDOW, axis=0) @ weights
    return np.asarray(np.lib.stride_tricks.sliding_window_view(rows, WINDOW, axis=1) @ weights)


def _pair(
    a: Float[Array, "..."], b: Float[Array, "..."]
) -> tuple[Float64[Array, "H W 3"], Float64[Array, "H W 3"]]:
    first = np.asarray(a, dtype=np.float64)
    second = np.asarray(b, dtype=np.float64)
    _ensure_same_shape("images", first, second)
    ensure_shape("image", first, ("H", "W", 3))
    return first, second


def _ensure_same_shape(things: str, a: Shaped[Array, "..."], b: Shaped[Array, "..."]) -> None:
    if a.shape != b.shape:
        raise InputError(
            f"{things} to compare must have one shape, got {list(a.shape)} and {list(b.shape)}"
        )


def _mask_for(image: Float64[Array, "H W 3"], mask: Shaped[Array, "..."]) -> Bool[Array, "H W"]:
    pixels = _boolean(mask)
    ensure_shape("mask", pixels, image.shape[:2])
    return pixels


def _boolean(mask: Shaped[Array, "..."]) -> Bool[Array, "..."]:
    """Refuse soft masks: cast to bool, every pixel that is not zero would count in full."""
    array = np.asarray(mask)
    if array.dtype != np.bool_:
        raise InputError(
            f"a mask must be boolean, got {array.dtype}; compare it with a threshold first"
        )
    return array


def _pixels(
    a: Float64[Array, "H W 3"], b: Float64[Array, "H W 3"], mask: Shaped[Array, "..."] | None
) -> Float64[Array, "... 3"]:
    """Return the difference b - a: `[H, W, 3]`, or `[M, 3]` with a mask."""
    difference = b - a
    return difference if mask is None else difference[_mask_for(a, mask)]


def _mean(values: Float64[Array, "..."]) -> float:
    return float(values.mean()) if values.size else float("nan")
