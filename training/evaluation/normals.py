"""Normal metrics: the cosine between true and rendered normals where both images have a head (Table 2, Fig. 5)."""

from __future__ import annotations

import numpy as np

from imavatar_deploy.image_quality import normal_angle

from .case import Case
from .masking import Masking
from .metric import Metric
from .overlap import intersection

NEEDS = ("prediction_mask", "truth_normal", "prediction_normal")


def _cosine(case: Case, masking: Masking) -> float:
    assert case.truth_normal is not None
    assert case.prediction_normal is not None
    angles = normal_angle(case.truth_normal, case.prediction_normal, intersection(case))
    return float(np.cos(np.radians(angles)).mean()) if len(angles) else float("nan")


NORMAL_COSINE = Metric(
    "normal cosine",
    "",
    "higher",
    "mean cosine over the pixels that both masks hold, whatever the masking",
    _cosine,
    NEEDS,
)
