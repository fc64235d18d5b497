"""Advice on a tracked video, what the rules read, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from imavatar_deploy.arrays import Array, Float64
from imavatar_deploy.head_fit.landmark_groups import LEFT_EYE, RIGHT_EYE

from .coverage import ExpressionReach, HeadAngles, PoseReach
from .moments import Span

if TYPE_CHECKING:
    from .result import TrackResult

NOTE = "note"
WEAK = "weak"
FAIL = "fail"
LEVELS = (FAIL, WEAK, NOTE)
"""Levels of advice, the most serious first. `fail` calls for a new video, `weak` costs quality."""

REFERENCE_SIZE = 512
"""Side of the pictures in which errors and sizes are judged, pixels."""

EYE_CORNERS = (RIGHT_EYE[0], LEFT_EYE[0])
IBUG_EYE_CORNERS = (36, 45)
"""Landmarks at the outer corners of the eyes, of the 478 and of the 68."""

REPEATED = "repeated"
"""Reason of frames that repeat the one before, which cost nothing."""


@dataclass(frozen=True)
class Advice:
    """One sentence of advice."""

    code: str
    """Name for programs, such as `turn-left`."""
    level: str
    """One of LEVELS."""
    text: str
    spans: tuple[Span, ...] = ()
    """Times of the video that it is about; empty where it is about all of it."""
    measured: float | None = None
    required: float | None = None


@dataclass(frozen=True)
class AdviceInput:
    """What the rules of `advise` read."""

    result: TrackResult
    angles: HeadAngles
    poses: tuple[PoseReach, ...]
    expressions: tuple[ExpressionReach, ...]

    @property
    def kept_share(self) -> float:
        """Share of the frames of the video that are in the dataset; repeated ones do not count."""
        frames = len(self.result.times)
        lost = sum(frame.reason != REPEATED for frame in self.result.dropped)
        return frames / (frames + lost)

    @property
    def eye_distance(self) -> float:
        """Distance of the outer corners of the eyes in frames that show the face from the front.

        Pixels of a picture of REFERENCE_SIZE. It is the scale of the face: errors in pixels grow
        with it.
        """
        right, left = IBUG_EYE_CORNERS if self.result.landmarks.shape[1] <= 68 else EYE_CORNERS
        across = self.result.landmarks[:, right, :2] - self.result.landmarks[:, left, :2]
        distances = np.linalg.norm(across.astype(np.float64), axis=1)
        front = float(np.quantile(distances[np.isfinite(distances)], 0.9))
        return front * REFERENCE_SIZE / self.result.size

    @property
    def errors(self) -> Float64[Array, " T"]:
        """Reprojection errors in pixels of a picture of REFERENCE_SIZE.

        NaN where a frame has no landmarks and its parameters are interpolated.
        """
        return np.asarray(self.result.fit.errors, np.float64) * REFERENCE_SIZE / self.result.size

    @property
    def error_share(self) -> float:
        """Mean reprojection error as a share of `eye_distance`; 0 without landmarks."""
        errors = self.errors[np.isfinite(self.errors)]
        return float(errors.mean()) / self.eye_distance if len(errors) else 0.0


@dataclass(frozen=True)
class Verdict:
    """The verdict on a video."""

    word: str
    """`good`, `usable` or `film again`."""
    sentence: str


def verdict(advice: Sequence[Advice]) -> Verdict:
    """Return the verdict that follows from the levels of the advice."""
    levels = {item.level for item in advice}
    if FAIL in levels:
        return Verdict("film again", "An avatar of this video would be poor. Film again.")
    if WEAK in levels:
        return Verdict(
            "usable", "An avatar can be made of this video. Another video would make a better one."
        )
    return Verdict("good", "This video is good for an avatar.")
