"""The expression metric: how far the avatar carries the head model's landmarks from where the dataset has them."""

from __future__ import annotations

import numpy as np

from .case import Case
from .masking import Masking
from .metric import Metric


def _error(case: Case, masking: Masking) -> float:
    assert case.keypoints is not None
    assert case.landmarks is not None
    return float(np.linalg.norm(case.keypoints - case.landmarks, axis=1).mean())


EXPRESSION = Metric(
    "expression",
    "px",
    "lower",
    "mean distance, in pixels at this size, between the dataset's keypoints and the projections of the points of the "
    "avatar's surface that are nearest to the head model's 70 landmarks in canonical space, visible or not; the "
    "published metric asks a landmark detector instead, so the two do not compare",
    _error,
    ("keypoints", "landmarks"),
)
