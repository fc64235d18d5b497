"""The metrics: PSNR, SSIM, L1, mask IoU, RGB L1, normal cosine, expression; their table."""

from __future__ import annotations

import numpy as np

from imavatar_deploy.fidelity.image_metrics import IDENTICAL_PSNR, iou, l1, normal_angle, psnr, ssim

from .metric import Case, Mask, Masking, Metric
from .perceptual import LPIPS

# Photometric metrics


def _psnr(case: Case, masking: Masking) -> float:
    return psnr(case.truth, case.prediction, masking.region(case))


def _ssim(case: Case, masking: Masking) -> float:
    """SSIM inside the region, or, as published, over the whole frame with a black background."""
    prediction, truth = masking.pair(case)
    return ssim(truth, prediction, None if masking.blackens else masking.region(case))


def _l1(case: Case, masking: Masking) -> float:
    return l1(case.truth, case.prediction, masking.region(case))


PSNR = Metric(
    "PSNR",
    "dB",
    "higher",
    "from the mean square over the region's pixels and channels; "
    f"{IDENTICAL_PSNR:g} for identical images",
    _psnr,
)

SSIM = Metric(
    "SSIM", "", "higher", "11 x 11 Gaussian window, sigma 1.5, only windows inside the image", _ssim
)

L1 = Metric(
    "L1",
    "",
    "lower",
    "mean absolute difference over the region's pixels and channels, colours in 0..1",
    _l1,
)


# Overlap metrics (Table 2 of the paper)


def intersection(case: Case) -> Mask:
    """Pixels in the masks of both truth and prediction."""
    assert case.prediction_mask is not None  # checked by `Metric.needs`
    return case.truth_mask & case.prediction_mask


def _iou(case: Case, masking: Masking) -> float:
    assert case.prediction_mask is not None
    return iou(case.truth_mask, case.prediction_mask)


def _rgb_l1(case: Case, masking: Masking) -> float:
    return l1(case.truth, case.prediction, intersection(case))


MASK_IOU = Metric(
    "mask IoU", "", "higher", "intersection over union of the two masks", _iou, ("prediction_mask",)
)

RGB_L1 = Metric(
    "RGB L1",
    "",
    "lower",
    "mean absolute difference over channels and the pixels of both masks, for every masking",
    _rgb_l1,
    ("prediction_mask",),
)


# Normals (Table 2 and Fig. 5 of the paper)


def _cosine(case: Case, masking: Masking) -> float:
    assert case.truth_normal is not None
    assert case.prediction_normal is not None
    angles = normal_angle(case.truth_normal, case.prediction_normal, intersection(case))
    return float(np.cos(np.radians(angles)).mean()) if len(angles) else float("nan")


NORMAL_COSINE = Metric(
    "normal cosine",
    "",
    "higher",
    "mean cosine over the pixels of both masks, for every masking",
    _cosine,
    ("prediction_mask", "truth_normal", "prediction_normal"),
)


# Expression


def _error(case: Case, masking: Masking) -> float:
    assert case.keypoints is not None
    assert case.landmarks is not None
    return float(np.linalg.norm(case.keypoints - case.landmarks, axis=1).mean())


EXPRESSION = Metric(
    "expression",
    "px",
    "lower",
    "mean distance, in pixels at this size, between the dataset's keypoints and the projections of "
    "the points of the avatar's canonical surface that are nearest to the head model's 70 "
    "landmarks, visible or not, the same for networks and for baked avatars (where a baked mouth "
    "is open, the corners of the mouth can lie on its inside); the published metric uses a "
    "landmark detector instead, so the two are not comparable",
    _error,
    ("keypoints", "landmarks"),
)

METRICS: dict[str, Metric] = {
    row.name: row for row in (PSNR, SSIM, LPIPS, L1, MASK_IOU, RGB_L1, NORMAL_COSINE, EXPRESSION)
}
"""Every metric by name, in the order of the report."""
