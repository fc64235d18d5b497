"""Image quality on plain arrays: PSNR, SSIM, L1, mask IoU and normal angle.

Images are float arrays `[H, W, 3]` in 0..1; a mask is boolean `[H, W]`, and only its pixels count. A mask without any
pixel leaves nothing to measure: the result is NaN, never a perfect score.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.checks import ensure_shape
from imavatar_deploy.errors import InputError

Image = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]
Double = NDArray[np.float64]

WINDOW = 11
SIGMA = 1.5
STABILISERS = (0.01**2, 0.03**2)
"""C1 and C2 of SSIM for values in 0..1 (Wang et al. 2004, section III-B), with the window of their reference code."""


IDENTICAL_PSNR = 200.0
"""dB of identical images, and the largest PSNR there is: that of a mean square of 1e-20, which is
rounding in float64. It is finite, so that one identical frame neither makes a mean infinite nor a
report illegal JSON."""


def psnr_of(mean_square: float) -> float:
    """Peak signal-to-noise ratio in dB of values in 0..1 from their mean squared difference.

    At most `IDENTICAL_PSNR`; NaN stays NaN.
    """
    return float(-10.0 * np.log10(np.maximum(mean_square, 10.0 ** (-IDENTICAL_PSNR / 10.0))))


def psnr(a: Image, b: Image, mask: Mask | None = None) -> float:
    """Peak signal-to-noise ratio in dB of two images, `IDENTICAL_PSNR` where they are identical.

    Raises:
        InputError: the shapes differ, or are not those of images and their mask.
    """
    return psnr_of(_mean(np.square(_pixels(*_pair(a, b), mask))))


def l1(a: Image, b: Image, mask: Mask | None = None) -> float:
    """Mean absolute difference over pixels and channels.

    Raises:
        InputError: the shapes differ, or are not those of images and their mask.
    """
    return _mean(np.abs(_pixels(*_pair(a, b), mask)))


def ssim(a: Image, b: Image, mask: Mask | None = None) -> float:
    """Structural similarity (Wang et al. 2004): 11 x 11 Gaussian window, sigma 1.5, only windows inside the image.

    With a mask, the mean is over windows centred on its pixels. This differs from the published evaluation, which
    blackens both images outside the mask and averages over the whole frame, so that the agreement of black with black
    counts as quality.

    Raises:
        InputError: the shapes differ, are not those of images and their mask, or are smaller than the window.
    """
    first, second = _pair(a, b)
    if min(first.shape[:2]) < WINDOW:
        raise InputError(
            f"images must be at least {WINDOW} x {WINDOW} pixels for SSIM, got {list(first.shape[:2])}"
        )
    similarity = _similarity(first, second)
    if mask is None:
        return _mean(similarity)
    margin = WINDOW // 2
    return _mean(similarity[_mask_for(first, mask)[margin:-margin, margin:-margin]])


def iou(mask_a: Mask, mask_b: Mask) -> float:
    """Intersection over union of two masks of one shape; 1.0 when both are empty.

    Raises:
        InputError: the shapes differ, or one is not boolean.
    """
    first, second = _boolean(mask_a), _boolean(mask_b)
    _ensure_same_shape("masks", first, second)
    union = int(np.count_nonzero(first | second))
    return np.count_nonzero(first & second) / union if union else 1.0


def normal_angle(a: Image, b: Image, mask: Mask) -> Double:
    """Angle in degrees between two normal images `[H, W, 3]`, for each of the M pixels of the mask: `[M]`.

    Normals are directions in -1..1 of any length; a pixel where one has no length counts as 90 degrees.

    Raises:
        InputError: the shapes differ, or are not those of images and their mask.
    """
    first, second = _pair(a, b)
    chosen = _mask_for(first, mask)
    u, v = first[chosen], second[chosen]
    # The arc tangent keeps small angles, where the arc cosine of a rounded dot product loses them.
    across = np.linalg.norm(np.cross(u, v), axis=-1)
    along = np.sum(u * v, axis=-1)
    angle = np.degrees(np.arctan2(across, along))
    return np.where((across == 0.0) & (along == 0.0), 90.0, angle)


def _similarity(a: Double, b: Double) -> Double:
    """[H - 10, W - 10, 3] the SSIM index of every window (equation 13)."""
    mean_a, mean_b = _blur(a), _blur(b)
    variance_a = _blur(a * a) - mean_a**2
    variance_b = _blur(b * b) - mean_b**2
    covariance = _blur(a * b) - mean_a * mean_b
    c1, c2 = STABILISERS
    likeness = (2.0 * mean_a * mean_b + c1) * (2.0 * covariance + c2)
    return likeness / ((mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2))


def _blur(image: Double) -> Double:
    """Gaussian mean of every window inside the image: `[H, W, 3]` -> `[H - 10, W - 10, 3]`."""
    offset = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-0.5 * (offset / SIGMA) ** 2)
    weights /= weights.sum()
    rows = np.lib.stride_tricks.sliding_window_view(image, WINDOW, axis=0) @ weights
    return np.asarray(np.lib.stride_tricks.sliding_window_view(rows, WINDOW, axis=1) @ weights)


def _pair(a: Image, b: Image) -> tuple[Double, Double]:
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    _ensure_same_shape("images", first, second)
    ensure_shape("image", first, ("H", "W", 3))
    return first, second


def _ensure_same_shape(things: str, a: NDArray[Any], b: NDArray[Any]) -> None:
    if a.shape != b.shape:
        raise InputError(
            f"{things} to compare must have one shape, got {list(a.shape)} and {list(b.shape)}"
        )


def _mask_for(image: Double, mask: Mask) -> Mask:
    chosen = _boolean(mask)
    ensure_shape("mask", chosen, image.shape[:2])
    return chosen


def _boolean(mask: Mask) -> Mask:
    """Refuse soft masks: cast to bool, their faintest pixel would count in full."""
    array = np.asarray(mask)
    if array.dtype != np.bool_:
        raise InputError(
            f"a mask must be boolean, got {array.dtype}; compare it with a threshold first"
        )
    return array


def _pixels(a: Double, b: Double, mask: Mask | None) -> Double:
    """The difference b - a: `[H, W, 3]`, or `[M, 3]` under the mask."""
    difference = b - a
    return difference if mask is None else difference[_mask_for(a, mask)]


def _mean(values: Double) -> float:
    return float(values.mean()) if values.size else float("nan")
