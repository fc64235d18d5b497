"""Masking: which pixels of a frame the photometric metrics look at, ours or the published way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from imavatar_deploy.errors import InputError

from .case import Case, Image, Mask

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
    return case.truth_mask if case.prediction_mask is None else case.truth_mask | case.prediction_mask


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
