"""Photometric metrics: PSNR, SSIM and L1 of the rendered colours."""

from __future__ import annotations

from imavatar_deploy.image_quality import IDENTICAL_PSNR, l1, psnr, ssim

from .case import Case
from .masking import Masking
from .metric import Metric


def _psnr(case: Case, masking: Masking) -> float:
    return psnr(case.truth, case.prediction, masking.region(case))


def _ssim(case: Case, masking: Masking) -> float:
    """Published: both images black outside the region and the mean over the whole frame; ours: inside the region."""
    prediction, truth = masking.pair(case)
    return ssim(truth, prediction, None if masking.blackens else masking.region(case))


def _l1(case: Case, masking: Masking) -> float:
    return l1(case.truth, case.prediction, masking.region(case))


PSNR = Metric(
    "PSNR",
    "dB",
    "higher",
    f"from the mean square over the region's pixels and channels; {IDENTICAL_PSNR:g} where nothing differs",
    _psnr,
)
SSIM = Metric("SSIM", "", "higher", "11 x 11 Gaussian window, sigma 1.5, only windows inside the image", _ssim)
L1 = Metric("L1", "", "lower", "mean absolute difference over the region's pixels and channels, colours in 0..1", _l1)
