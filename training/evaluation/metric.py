"""Types of an evaluation: prediction, case, masking and metric; the table of maskings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from imavatar_deploy.arrays import Array, Bool, Float32
from imavatar_deploy.errors import InputError

Image = Float32[Array, "H W 3"]
"""RGB in 0..1, or unit normals in model space."""

Mask = Bool[Array, "H W"]

Perceptual = Callable[[Image, Image], float]
"""A learned distance of two RGB images."""

FACE_KEYPOINTS = 68
"""Number of landmarks in the published hull, without the two irises that follow them."""

ABSENCE_REASONS = {
    "prediction_mask": "the predicted images have no alpha channel, which separates the head from "
    "the background",
    "truth_normal": "the dataset has no normals",
    "prediction_normal": "images alone have no normals; a run or an avatar has them",
    "keypoints": "the dataset has no flame_keypoints",
    "landmarks": "the head model's landmarks are unknown in these predictions (a detector would be "
    "needed)",
    "perceptual": "needs --lpips-weights",
}
"""Why a metric that needs this part of a case was not measured."""


# Frames


@dataclass(frozen=True)
class Prediction:
    """The render of one frame; parts that a source does not have are None."""

    rgb: Image
    """RGB in 0..1, white outside the head."""
    mask: Mask | None = None
    normal: Image | None = None
    """Unit normals in model space, valid where the mask is true."""
    landmarks: Float32[Array, "70 2"] | None = None
    """Pixels of the head model's landmarks on the avatar."""


@dataclass(frozen=True)
class Case:
    """Truth and prediction of one frame, of one size. Parts that are absent are None."""

    name: str
    truth: Image
    """RGB in 0..1, white outside the mask."""
    truth_mask: Mask
    prediction: Image
    """RGB in 0..1."""
    prediction_mask: Mask | None = None
    truth_normal: Image | None = None
    prediction_normal: Image | None = None
    keypoints: Float32[Array, "70 2"] | None = None
    """Pixels of the landmarks of the dataset, the 68 of the face first."""
    landmarks: Float32[Array, "70 2"] | None = None
    """Pixels of the same landmarks on the avatar."""
    perceptual: Perceptual | None = None


# Maskings


@dataclass(frozen=True)
class Masking:
    """The region of each frame that the photometric metrics use."""

    name: str
    summary: str
    """Description for the report and the help text."""
    region: Callable[[Case], Mask]
    """Computes the region of a case."""
    blackens: bool
    """Whether both images are black outside the region before they are compared."""

    def pair(self, case: Case) -> tuple[Image, Image]:
        """Prediction and truth for the windowed and learned metrics."""
        if not self.blackens:
            return case.prediction, case.truth
        region = self.region(case)[..., None]
        return case.prediction * region, case.truth * region


def head_region(case: Case) -> Mask:
    """The union of the truth's mask and the prediction's, so that a wrong size adds error."""
    if case.prediction_mask is None:
        return case.truth_mask
    return case.truth_mask | case.prediction_mask


def face_hull(case: Case) -> Mask:
    """The filled convex hull of the 68 face keypoints, as in the published evaluation.

    Raises:
        InputError: the dataset has no keypoints.
    """
    if case.keypoints is None:
        raise InputError(
            f"frame {case.name!r} has no flame_keypoints, and the published masking is their "
            "convex hull; evaluate without --published-masking"
        )
    corners = case.keypoints[:FACE_KEYPOINTS].astype(np.int32)  # truncated, as published
    filled = np.zeros(case.truth_mask.shape, dtype=np.uint8)
    return cv2.fillConvexPoly(filled, cv2.convexHull(corners), 1).astype(np.bool_)


MASKINGS = {
    row.name: row
    for row in (
        Masking(
            "head",
            "inside the truth's mask or the prediction's, over white",
            head_region,
            blackens=False,
        ),
        Masking(
            "published",
            "as published: inside the convex hull of the 68 face keypoints, both images multiplied "
            "by it; SSIM averages over the whole frame, so that black agreeing with black counts "
            "as quality",
            face_hull,
            blackens=True,
        ),
    )
}
"""Maskings by name."""


# Metrics


@dataclass(frozen=True)
class Metric:
    """One metric, a row of `metrics.METRICS`."""

    name: str
    unit: str
    """Unit of its values; empty for a plain number."""
    better: str
    """`higher` or `lower`."""
    summary: str
    """How it is measured, for the report."""
    measure: Callable[[Case, Masking], float]
    """Computes the value of a case; NaN where the case has nothing to measure."""
    needs: tuple[str, ...] = ()
    """Fields of a `Case` that must not be None; keys of `ABSENCE_REASONS`."""

    def absent(self, case: Case) -> str | None:
        """Why a case cannot be measured, or None if it can."""
        return next(
            (ABSENCE_REASONS[part] for part in self.needs if getattr(case, part) is None), None
        )

    def worst_of(self, values: list[float]) -> int:
        """Index of the worst value."""
        pick = min if self.better == "higher" else max
        return pick(range(len(values)), key=values.__getitem__)
