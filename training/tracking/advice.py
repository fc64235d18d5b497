"""Advice on a tracked video: what limits the avatar, at which times, and what to film instead."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from imavatar_deploy.arrays import Array, Bool, Float, Float64
from imavatar_deploy.head_fit.landmark_groups import LEFT_EYE, RIGHT_EYE

from .coverage import ExpressionReach, HeadAngles, PoseReach

if TYPE_CHECKING:
    from .result import TrackResult

Span = tuple[float, float]
"""First and last moment of an event, seconds of the video."""

NOTE = "note"
WEAK = "weak"
FAIL = "fail"
LEVELS = (FAIL, WEAK, NOTE)
"""Levels of advice, the most serious first. `fail` calls for a new video, `weak` costs quality."""


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


Rule = Callable[[AdviceInput], Iterator[Advice]]


# Length and accuracy

REFERENCE_SIZE = 512
"""Side of the pictures in which errors and sizes are judged, pixels."""

MIN_FRAMES = 50
"""With fewer frames a training sees too few poses to tell shape from expression."""

GOOD_SECONDS = 15.0
"""Shorter videos rarely hold both a turning head and speech."""

EYE_CORNERS = (RIGHT_EYE[0], LEFT_EYE[0])
IBUG_EYE_CORNERS = (36, 45)
"""Landmarks at the outer corners of the eyes, of the 478 and of the 68."""

GOOD_ERROR = 0.022
POOR_ERROR = 0.045
"""Mean reprojection errors as shares of the distance of the outer corners of the eyes. Good fits of
real clips have 0.014, 1.3 pixels of 95; at 0.045 the lips of the fit lie beside those of the
picture."""

GOOD_SHARE = 0.85
POOR_SHARE = 0.5
"""Shares of kept frames: below the first the gaps show in the motion, below the second most of the
video is something else than a face."""


def _length(video: AdviceInput) -> Iterator[Advice]:
    times = video.result.times
    seconds = len(times) / video.result.fps
    if len(times) < MIN_FRAMES:
        yield Advice(
            "short",
            FAIL,
            f"Only {len(times)} frames can be used; at least {MIN_FRAMES} are necessary. "
            "Film 20 to 60 seconds.",
            measured=len(times),
            required=MIN_FRAMES,
        )
    elif seconds < GOOD_SECONDS:
        yield Advice(
            "short",
            WEAK,
            f"The video has {seconds:.0f} seconds with a usable face; film 20 to 60 seconds.",
            measured=seconds,
            required=GOOD_SECONDS,
        )


def _accuracy(video: AdviceInput) -> Iterator[Advice]:
    errors = video.errors[np.isfinite(video.errors)]
    error = float(errors.mean()) / video.eye_distance if len(errors) else 0.0
    if error > GOOD_ERROR:
        yield Advice(
            "reprojection",
            FAIL if error > POOR_ERROR else WEAK,
            f"The fitted head lies {100 * error:.1f} % of the distance of the eyes beside the "
            f"landmarks on average; {100 * GOOD_ERROR:.1f} % or less is good. Look at the worst "
            "frames below; give the focal length with --focal if you know it.",
            measured=error,
            required=GOOD_ERROR,
        )


def _kept(video: AdviceInput) -> Iterator[Advice]:
    share = video.kept_share
    if share < GOOD_SHARE:
        yield Advice(
            "dropped-many",
            FAIL if share < POOR_SHARE else WEAK,
            f"Only {100 * share:.0f} % of the frames can be used; {100 * GOOD_SHARE:.0f} % is "
            "good. The reasons are listed with their times.",
            measured=share,
            required=GOOD_SHARE,
        )


# Events at certain times

MERGE_SECONDS = 0.5
"""Events that lie less than this apart are one event."""

MIN_SHARPNESS = 0.4
"""Sharpness of a frame, relative to the video's median, below which it is blurred."""

REPEATED = "repeated"
"""Reason of frames that repeat the one before, which cost nothing."""

DROP_ADVICE = {
    "no face": ("no-face", "There is no face in the picture {when}; keep your face in it."),
    "blurred": ("blurred", "The picture is blurred {when}; move more slowly, and lock the focus."),
    "occluded": (
        "occluded",
        "Something, such as a hand, is before the face {when}; keep the face free.",
    ),
    "turned away": (
        "turned-away",
        "The face is turned away {when}; turn until one ear is in view, not further.",
    ),
    "two faces": (
        "two-faces",
        "More than one face is in the picture {when}; film one person alone.",
    ),
    "poor fit": (
        "poor-fit",
        "The landmarks {when} do not fit the head of this person; keep the face free and lit.",
    ),
    "damaged": ("damaged", "The file is damaged {when}; copy or film it again."),
}
"""Reason of dropped frames -> code and sentence of the advice."""


def _events(video: AdviceInput) -> Iterator[Advice]:
    by_reason: dict[str, list[float]] = {}
    for frame in video.result.dropped:
        if frame.reason == REPEATED:
            continue
        by_reason.setdefault(str(frame.reason), []).append(float(frame.time))
    blurred = _blurred(video.result)
    if blurred.any():
        by_reason.setdefault("blurred", []).extend(video.result.times[blurred].tolist())
    for reason, moments in sorted(by_reason.items()):
        spans = join_moments(moments)
        code, sentence = DROP_ADVICE.get(
            reason, ("dropped", f"Frames are left out {{when}}: {reason}.")
        )
        yield Advice(
            code, NOTE, sentence.format(when=when(spans)), spans=spans, measured=len(moments)
        )


def _blurred(result: TrackResult) -> Bool[Array, " T"]:
    return np.asarray(result.sharpness < MIN_SHARPNESS)


# Light

LIGHT_STEP = 0.12
"""Relative change of the face's brightness within LIGHT_SECONDS that is visible as a change of the
light; automatic exposure makes such steps."""

LIGHT_SECONDS = 1.0
"""Length of the windows before and after a moment that are compared."""

DARK = 0.24
BRIGHT = 0.88
"""Mean brightness of the face, 0..1, below which noise hides the skin and above which it is
overexposed."""


def _light(video: AdviceInput) -> Iterator[Advice]:
    brightness = np.asarray(video.result.brightness, dtype=np.float64)
    level = float(np.median(brightness))
    if level < DARK:
        yield Advice(
            "dark",
            WEAK,
            f"The picture is dark: the face has a brightness of {100 * level:.0f} %. Turn towards "
            "a window, or add a lamp.",
            measured=level,
            required=DARK,
        )
    elif level > BRIGHT:
        yield Advice(
            "bright",
            WEAK,
            f"The picture is too bright: the face has a brightness of {100 * level:.0f} %. Lower "
            "the exposure.",
            measured=level,
            required=BRIGHT,
        )
    change = light_changes(brightness, video.result.times, video.angles)
    spans = tuple((moment, moment) for moment in _peaks(change, video.result.times))
    if spans:
        yield Advice(
            "light-changes",
            WEAK,
            f"The light changes {when(spans)}; lock exposure and white balance, and keep the "
            "light as it is.",
            spans=spans,
            measured=float(change.max()),
            required=LIGHT_STEP,
        )


def light_changes(
    brightness: Float64[Array, " T"], times: Float[Array, " T"], angles: HeadAngles
) -> Float64[Array, " T"]:
    """Return the relative step of the brightness at each frame.

    It is the difference of the medians of LIGHT_SECONDS after and before. A head that turns to and
    from a lamp changes its brightness, too: the part that follows from yaw and pitch is subtracted
    first (least squares, quadratic).
    """
    level = float(np.median(brightness))
    steps = np.zeros(len(brightness))
    if level <= 0 or len(brightness) < MIN_FRAMES // 2:
        return steps
    yaw, pitch = angles.yaw / 30.0, angles.pitch / 30.0
    terms = np.column_stack([np.ones_like(yaw), yaw, pitch, yaw**2, pitch**2]).astype(np.float64)
    coefficients = np.linalg.lstsq(terms, brightness, rcond=1e-6)[0]
    rest = brightness - terms[:, 1:] @ coefficients[1:]
    starts = np.searchsorted(times, times - LIGHT_SECONDS)
    ends = np.searchsorted(times, times + LIGHT_SECONDS)
    for index in range(len(rest)):
        before, after = rest[starts[index] : index], rest[index : ends[index]]
        if min(len(before), len(after)) >= 3:
            steps[index] = abs(float(np.median(after) - np.median(before))) / level
    return steps


def _peaks(change: Float64[Array, " T"], times: Float[Array, " T"]) -> Iterator[float]:
    """Moments of the largest changes, one for each run of frames above LIGHT_STEP."""
    above = np.flatnonzero(change > LIGHT_STEP)
    for run in np.split(above, np.flatnonzero(np.diff(above) > 1) + 1):
        if len(run):
            yield float(times[run[change[run].argmax()]])


# Framing

MIN_FACE = 0.15
"""Smallest good width of the face (its landmarks) as a share of the picture's side."""

BORDER = 0.01
"""Share of the side within which a landmark touches the border of the picture."""


def _framing(video: AdviceInput) -> Iterator[Advice]:
    size = video.result.size
    points = np.asarray(video.result.landmarks[:, :, :2], dtype=np.float64)
    complete = np.isfinite(points).all(axis=(1, 2))
    points = points[complete]
    if not len(points):
        return
    width = float(np.median(np.ptp(points[:, :, 0], axis=1))) / size
    if width < MIN_FACE:
        yield Advice(
            "small-face",
            WEAK,
            f"The face fills {100 * width:.0f} % of the picture's width; {100 * MIN_FACE:.0f} % "
            "or more is good. Come nearer to the camera.",
            measured=width,
            required=MIN_FACE,
        )
    margin = BORDER * size
    outside = ((points < margin) | (points > size - 1 - margin)).any(axis=(1, 2))
    if outside.any():
        spans = join_moments(video.result.times[complete][outside].tolist())
        yield Advice(
            "cut-off",
            WEAK,
            f"The border of the picture cuts the face {when(spans)}; leave room on all sides.",
            spans=spans,
            measured=float(outside.mean()),
        )


# Coverage

STILL = 10.0
"""Range of yaw in degrees below which the depth of the head cannot be seen."""


def _coverage(video: AdviceInput) -> Iterator[Advice]:
    yaw_range = float(np.ptp(video.angles.yaw))
    if yaw_range < STILL:
        yield Advice(
            "head-still",
            FAIL,
            f"The head turns by {yaw_range:.0f} degrees in all; the shape of the head cannot be "
            "seen. Turn slowly to both sides.",
            measured=yaw_range,
            required=STILL,
        )
    for pose in video.poses:
        if not pose.enough:
            yield Advice(
                pose.goal.code,
                WEAK,
                f"{pose.goal.request}: {int(pose.degrees)} degrees reached, "
                f"{pose.goal.required:.0f} is good.",
                measured=pose.degrees,
                required=pose.goal.required,
            )
    for expression in video.expressions:
        if not expression.enough:
            goal = expression.goal
            yield Advice(
                goal.code,
                WEAK if goal.needed else NOTE,
                f"{goal.request}: {goal.text(expression.strength)} reached, "
                f"{goal.text(goal.required)} is good.",
                measured=expression.strength,
                required=goal.required,
            )


# Camera


def _camera(video: AdviceInput) -> Iterator[Advice]:
    if "default" in video.result.focal_source:
        yield Advice(
            "focal-length",
            NOTE,
            "The focal length is a guess, because the video does not state it. Give --focal if "
            "you know it; a wrong one changes the depth of the head.",
        )


RULES: tuple[Rule, ...] = (_length, _accuracy, _kept, _events, _light, _framing, _coverage, _camera)
"""All rules, in the order of the advice within a level."""


def advise(video: AdviceInput) -> tuple[Advice, ...]:
    """Return all advice, the most serious first."""
    advice = [item for rule in RULES for item in rule(video)]
    return tuple(sorted(advice, key=lambda item: LEVELS.index(item.level)))


# Verdict


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


# Times


def clock(seconds: float) -> str:
    """Return a time as minutes and seconds, such as `0:12`."""
    whole = int(seconds)
    return f"{whole // 60}:{whole % 60:02d}"


def join_moments(moments: Sequence[float]) -> tuple[Span, ...]:
    """Join moments that lie less than MERGE_SECONDS apart into spans."""
    spans: list[Span] = []
    for moment in sorted(moments):
        if spans and moment - spans[-1][1] < MERGE_SECONDS:
            spans[-1] = (spans[-1][0], moment)
        else:
            spans.append((moment, moment))
    return tuple(spans)


MAX_SPANS = 6
"""Largest number of times that one sentence lists."""


def when(spans: Sequence[Span]) -> str:
    """Return the words for times, such as `at 0:05-0:07 and 0:12`."""
    texts = list(
        dict.fromkeys(
            clock(first) if clock(first) == clock(last) else f"{clock(first)}-{clock(last)}"
            for first, last in spans
        )
    )
    if len(texts) > MAX_SPANS:
        texts = [*texts[: MAX_SPANS - 1], f"{len(texts) - MAX_SPANS + 1} more times"]
    return "at " + (" and ".join(filter(None, [", ".join(texts[:-1]), texts[-1]])))
