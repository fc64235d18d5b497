"""TrackSummary: the figures, the coverage, the advice and the verdict of a track, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Float64, Int64
from imavatar_deploy.head_model import HeadModel

from .advice import NOTE, REFERENCE_SIZE, Advice, AdviceInput, Verdict, verdict
from .advice_rules import GOOD_ERROR, advise
from .coverage import (
    PITCH_EDGES,
    YAW_EDGES,
    ExpressionReach,
    HeadAngles,
    PoseReach,
    expression_reach,
    pose_histogram,
    pose_reach,
)
from .moments import Span, join_moments
from .result import TrackResult

FORMAT = "imavatar track report"

VERSION = 1
"""Version of `track_report.json`."""

TYPICAL = 8
WORST = 6
"""Number of typical and of worst frames that the report shows."""

GRAVEST = 2
"""Largest number of pieces of advice that a command displays."""

WORST_APART = 0.5
"""Smallest distance of two worst frames, seconds: neighbours fail alike."""


@dataclass(frozen=True)
class DroppedGroup:
    """Frames that were left out for one reason."""

    reason: str
    frames: int
    spans: tuple[Span, ...]


@dataclass(frozen=True, eq=False)
class TrackSummary:
    """What the report says about a track."""

    result: TrackResult
    head: HeadModel | None
    """Head model of the track's edition; None where it is not at hand."""
    angles: HeadAngles
    histogram: Int64[Array, "P Y"]
    poses: tuple[PoseReach, ...]
    expressions: tuple[ExpressionReach, ...]
    dropped: tuple[DroppedGroup, ...]
    advice: tuple[Advice, ...]
    verdict: Verdict
    errors: Float64[Array, " T"]
    """Reprojection errors, pixels of a picture of REFERENCE_SIZE; NaN without landmarks."""
    error_share: float
    """Mean error as a share of the distance of the outer corners of the eyes."""
    good_error: float
    """Mean error that is good, in the same pixels."""
    kept_share: float

    @classmethod
    def of(cls, result: TrackResult, head: HeadModel | None = None) -> TrackSummary:
        """Summarise a track.

        Args:
            result: the track.
            head: head model of its edition; the bundled one by default.
        """
        if head is None:
            head = HeadModel.load("openhead")
        head = head if head.edition == result.edition else None
        names = () if head is None else head.expression_names
        fit = result.fit
        angles = HeadAngles.of(fit.pose)
        poses = pose_reach(angles)
        expressions = expression_reach(fit.expression, fit.pose, names)
        video = AdviceInput(result, angles, poses, expressions)
        advice = advise(video)
        return cls(
            result=result,
            head=head,
            angles=angles,
            histogram=pose_histogram(angles),
            poses=poses,
            expressions=expressions,
            dropped=dropped_groups(result),
            advice=advice,
            verdict=verdict(advice),
            errors=video.errors,
            error_share=video.error_share,
            good_error=GOOD_ERROR * video.eye_distance,
            kept_share=video.kept_share,
        )

    @property
    def gravest(self) -> tuple[Advice, ...]:
        """The GRAVEST most serious pieces of advice, without mere notes."""
        return tuple(item for item in self.advice if item.level != NOTE)[:GRAVEST]

    @property
    def reprojection(self) -> dict[str, float]:
        """Mean, median, 95 % quantile and maximum of the errors; zeros without frames."""
        errors = self.errors[np.isfinite(self.errors)]
        if not len(errors):
            errors = np.zeros(1)
        return {
            "mean": float(errors.mean()),
            "median": float(np.median(errors)),
            "p95": float(np.quantile(errors, 0.95)),
            "max": float(errors.max()),
        }

    def document(self, facts: Mapping[str, str]) -> dict[str, Any]:
        """Return the summary as JSON values.

        Args:
            facts: what is known of the settings, by name.
        """
        result = self.result
        return {
            "format": FORMAT,
            "version": VERSION,
            "video": result.video,
            "verdict": self.verdict.word,
            "advice": [_rounded(asdict(item)) for item in self.advice],
            "frames": {
                "kept": len(result),
                "dropped": len(result.dropped),
                "kept_share": round(self.kept_share, 4),
                "fps": result.fps,
                "seconds": round(len(result) / result.fps, 3),
                "size": result.size,
            },
            "reprojection": {
                "unit": f"pixels at {REFERENCE_SIZE} x {REFERENCE_SIZE}",
                **_rounded(self.reprojection),
                "good_mean": round(self.good_error, 4),
            },
            "head_poses": {
                "yaw_edges": YAW_EDGES.tolist(),
                "pitch_edges": PITCH_EDGES.tolist(),
                "frames": self.histogram.tolist(),
                "reached": [
                    {
                        "code": pose.goal.code,
                        "degrees": round(pose.degrees, 2),
                        "required": pose.goal.required,
                        "enough": pose.enough,
                    }
                    for pose in self.poses
                ],
            },
            "expressions": [
                {
                    "code": reach.goal.code,
                    "name": reach.goal.name,
                    "strength": round(reach.strength, 4),
                    "required": reach.goal.required,
                    "unit": reach.goal.unit,
                    "enough": reach.enough,
                    "frame": result.names[reach.frame],
                }
                for reach in self.expressions
            ],
            "dropped": [_rounded(asdict(group)) for group in self.dropped],
            "worst_frames": [
                {"name": result.names[index], "error": round(float(self.errors[index]), 3)}
                for index in worst_frames(self.errors, result.times)
            ],
            "edition": result.edition,
            "focal_source": result.focal_source,
            "intrinsics": [round(float(value), 6) for value in result.intrinsics],
            "notes": list(result.notes),
            "facts": dict(facts),
        }


def dropped_groups(result: TrackResult) -> tuple[DroppedGroup, ...]:
    """Return the dropped frames by reason, the most frequent first."""
    moments: dict[str, list[float]] = {}
    for frame in result.dropped:
        moments.setdefault(str(frame.reason), []).append(float(frame.time))
    groups = [
        DroppedGroup(reason, len(times), join_moments(times)) for reason, times in moments.items()
    ]
    return tuple(sorted(groups, key=lambda group: (-group.frames, group.reason)))


def typical_frames(errors: Float64[Array, " T"], count: int = TYPICAL) -> list[int]:
    """Return a frame of median error from each of `count` equal parts of the video.

    Frames without landmarks are passed over.
    """
    chosen = []
    for part in np.array_split(np.flatnonzero(np.isfinite(errors)), count):
        if len(part):
            order = np.argsort(errors[part], kind="stable")
            chosen.append(int(part[order[(len(part) - 1) // 2]]))
    return chosen


def worst_frames(
    errors: Float64[Array, " T"], times: Float64[Array, " T"], count: int = WORST
) -> list[int]:
    """Return the frames with the largest errors, at least WORST_APART from each other."""
    chosen: list[int] = []
    for index in np.argsort(-errors, kind="stable"):
        if np.isfinite(errors[index]) and all(
            abs(times[index] - times[other]) >= WORST_APART for other in chosen
        ):
            chosen.append(int(index))
        if len(chosen) == count:
            break
    return chosen


def _rounded(value: Any) -> Any:
    """JSON values with four decimals."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(item) for item in value]
    return value
