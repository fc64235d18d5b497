"""Metric: what one row of the table of metrics says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.errors import InputError

# Case: one frame to be measured, the truth beside what was predicted; and what to say where a part is absent.


Image = NDArray[np.float32]

Mask = NDArray[np.bool_]

Points = NDArray[np.float32]

Perceptual = Callable[[Image, Image], float]
"""A learned distance of two images `[H, W, 3]` in 0..1."""


@dataclass(frozen=True)
class Prediction:
    """What was rendered for one frame; a part that a source cannot give is None."""

    rgb: Image  # [H, W, 3] 0..1, white where nothing is
    mask: Mask | None = None  # [H, W]
    normal: Image | None = None  # [H, W, 3] unit, model space, where the mask is
    landmarks: Points | None = (
        None  # [70, 2] pixels: where the avatar carries the head model's landmarks
    )


@dataclass(frozen=True)
class Case:
    """One frame: truth and prediction, all of one size. What is None cannot be measured."""

    name: str
    truth: Image  # [H, W, 3] 0..1, white outside the mask
    truth_mask: Mask  # [H, W]
    prediction: Image  # [H, W, 3] 0..1
    prediction_mask: Mask | None = None
    truth_normal: Image | None = None  # [H, W, 3]
    prediction_normal: Image | None = None
    keypoints: Points | None = (
        None  # [70, 2] pixels: the dataset's projected landmarks, the 68 of the face first
    )
    landmarks: Points | None = (
        None  # [70, 2] pixels: the same landmarks, as the avatar carries them
    )
    perceptual: Perceptual | None = None


ABSENT = {
    "prediction_mask": "the predicted images have no alpha channel to tell the head from the background",
    "truth_normal": "the dataset has no normals",
    "prediction_normal": "images alone have no normals; a run or an avatar has them",
    "keypoints": "the dataset has no flame_keypoints",
    "landmarks": "nothing says where these predictions carry the head model's landmarks (a detector would be needed)",
    "perceptual": "needs --lpips-weights",
}
"""Why a metric that needs this part of a case was not measured."""


# Masking: which pixels of a frame the photometric metrics look at, ours or the published way.


FACE_KEYPOINTS = 68
"""The published hull is of the face's landmarks; the two irises that follow them are left out."""


@dataclass(frozen=True)
class Masking:
    """A region of each frame, and whether images are blackened outside of it before they are compared."""

    name: str
    summary: str
    region: Callable[[Case], Mask]
    blackens: bool

    def pair(self, case: Case) -> tuple[Image, Image]:
        """Prediction and truth as the windowed and learned metrics see them."""
        if not self.blackens:
            return case.prediction, case.truth
        region = self.region(case)[..., None]
        return case.prediction * region, case.truth * region


def head_region(case: Case) -> Mask:
    """[H, W] where either the truth or the prediction has a head: one that is too large or too small pays for it."""
    return (
        case.truth_mask if case.prediction_mask is None else case.truth_mask | case.prediction_mask
    )


def face_hull(case: Case) -> Mask:
    """[H, W] the filled convex hull of the 68 face keypoints, as the published evaluation draws it.

    Raises:
        InputError: the dataset has no keypoints.
    """
    if case.keypoints is None:
        raise InputError(
            f"frame {case.name!r} has no flame_keypoints, and the published masking is their convex hull; evaluate "
            "without --published-masking"
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
            "as published: inside the convex hull of the 68 face keypoints, both images multiplied by it; SSIM "
            "averages over the whole frame, so that black agreeing with black counts as quality",
            face_hull,
            blackens=True,
        ),
    )
}
"""The table of maskings."""


@dataclass(frozen=True)
class Metric:
    """One figure of quality, owned by the file that computes it."""

    name: str
    unit: str
    """Empty for a plain number."""
    better: str
    """`higher` or `lower`."""
    summary: str
    """One sentence of how it is measured, for the report."""
    measure: Callable[[Case, Masking], float]
    """NaN where a frame leaves nothing to measure."""
    needs: tuple[str, ...] = ()
    """Fields of a `Case` that must not be None; keys of `case.ABSENT`."""

    def absent(self, case: Case) -> str | None:
        """Why this case cannot be measured; None when it can."""
        return next((ABSENT[part] for part in self.needs if getattr(case, part) is None), None)

    def worst_of(self, values: list[float]) -> int:
        """Index of the worst value."""
        pick = min if self.better == "higher" else max
        return pick(range(len(values)), key=values.__getitem__)
