"""Rules of advice: what limits the avatar, at which times of a video, and what to film instead."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from imavatar_deploy.arrays import Array, Bool

from .advice import FAIL, LEVELS, NOTE, REPEATED, WEAK, Advice, AdviceInput
from .light_changes import LIGHT_STEP, light_changes, light_peaks
from .moments import join_moments, when
from .result import TrackResult

Rule = Callable[[AdviceInput], Iterator[Advice]]


# Length and accuracy

MIN_FRAMES = 50
"""With fewer frames a training sees too few poses to tell shape from expression."""

GOOD_SECONDS = 15.0
"""Shorter videos rarely hold both a turning head and speech."""

GOOD_ERROR = 0.022
POOR_ERROR = 0.045
"""Mean reprojection errors as shares of the distance of the outer corners of the eyes. Good fits of
real clips have 0.014, 1.3 pixels of 95; at 0.045 the lips of the fit lie beside those of the
picture."""

NO_FIT_ERROR = 0.2
"""The same from which the head is not fitted at all. An eye is 0.3 of that distance wide: with two
thirds of it the eyes of the fit lie beside those of the picture."""

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
    error = video.error_share
    if error > GOOD_ERROR:
        yield Advice(
            "reprojection",
            FAIL if error > POOR_ERROR else WEAK,
            f"The fitted head lies {100 * error:.1f} % of the distance of the eyes beside the "
            f"landmarks on average; {100 * GOOD_ERROR:.1f} % or less is good. Look at the worst "
            "frames in the report; give the focal length with --focal if you know it.",
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

MIN_SHARPNESS = 0.4
"""Sharpness of a frame, relative to the video's median, below which it is blurred."""

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
    spans = tuple((moment, moment) for moment in light_peaks(change, video.result.times))
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
