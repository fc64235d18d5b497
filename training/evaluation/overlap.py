"""Overlap metrics: mask IoU, and the colour error where truth and prediction both have a head (the paper's Table 2)."""

from __future__ import annotations

from imavatar_deploy.image_quality import iou, l1

from .case import Case, Mask
from .masking import Masking
from .metric import Metric


def intersection(case: Case) -> Mask:
    """[H, W] where truth and prediction both have a head."""
    assert case.prediction_mask is not None  # a metric's `needs` sees to it
    return case.truth_mask & case.prediction_mask


def _iou(case: Case, masking: Masking) -> float:
    assert case.prediction_mask is not None
    return iou(case.truth_mask, case.prediction_mask)


def _rgb_l1(case: Case, masking: Masking) -> float:
    return l1(case.truth, case.prediction, intersection(case))


MASK_IOU = Metric("mask IoU", "", "higher", "intersection over union of the two masks", _iou, ("prediction_mask",))
RGB_L1 = Metric(
    "RGB L1",
    "",
    "lower",
    "mean absolute difference over channels and the pixels that both masks hold, whatever the masking",
    _rgb_l1,
    ("prediction_mask",),
)
