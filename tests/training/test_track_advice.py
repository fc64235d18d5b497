"""Advice on a tracked video: every rule applies beyond its limit, and not just before it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.training.tracking.advice import REFERENCE_SIZE, Advice
from imavatar_deploy.training.tracking.advice_rules import (
    BRIGHT,
    DARK,
    DROP_ADVICE,
    GOOD_ERROR,
    MIN_FRAMES,
    POOR_ERROR,
)
from imavatar_deploy.training.tracking.coverage import (
    EXPRESSION_GOALS,
    POSE_GOALS,
    HeadAngles,
    gaze_angles,
    pose_histogram,
    reached,
    strongest,
)
from imavatar_deploy.training.tracking.moments import Span, clock, join_moments, when
from imavatar_deploy.training.tracking.result import TrackResult
from imavatar_deploy.training.tracking.summary import (
    TrackSummary,
    typical_frames,
    worst_frames,
)

from .track_results import FPS, NAMES, SIZE, good_result, refitted, with_drops

HEAD = HeadModel.load("openhead")
SECONDS = tuple((float(second), float(second)) for second in range(9))

Change = Callable[[TrackResult], TrackResult]


def summary_of(result: TrackResult) -> TrackSummary:
    return TrackSummary.of(result, HEAD)


def advice_of(result: TrackResult) -> dict[str, Advice]:
    return {item.code: item for item in summary_of(result).advice}


def with_error(share: float) -> Change:
    """Every frame with an error, as a share of the distance of the eyes."""

    def changed(result: TrackResult) -> TrackResult:
        eyes = np.linalg.norm(result.landmarks[0, 33] - result.landmarks[0, 263])
        return refitted(result, errors=np.full(len(result), share * eyes, dtype=np.float32))

    return changed


def with_pose(column: int, change: Callable[[Any], Any]) -> Change:
    def changed(result: TrackResult) -> TrackResult:
        pose = result.fit.pose.copy()
        pose[:, column] = change(pose[:, column])
        return refitted(result, pose=pose)

    return changed


def with_strength(code: str, factor: float) -> Change:
    """The expression of a goal with `factor` times the required strength."""
    goal = next(goal for goal in EXPRESSION_GOALS if goal.code == code)

    def changed(result: TrackResult) -> TrackResult:
        if goal.shapes == ("jaw",):
            scale = np.radians(factor * goal.required) / reached(result.fit.pose[:, 6])
            return with_pose(6, lambda values: values * scale)(result)
        expression = result.fit.expression.copy()
        columns = [NAMES.index(name) for name in goal.shapes]
        mean = reached(expression[:, columns].mean(axis=1))
        expression[:, columns] *= factor * goal.required / mean
        return refitted(result, expression=expression)

    return changed


def with_turn(code: str, factor: float) -> Change:
    """The head turned in one direction up to `factor` times the required angle."""
    goal = next(goal for goal in POSE_GOALS if goal.code == code)
    column = 4 if code.startswith("turn") else 3
    limit = np.radians(factor * goal.required)
    low, high = (-limit, 9.0) if code in ("turn-right", "look-up") else (-9.0, limit)
    return with_pose(column, lambda values: values.clip(low, high))


def light_step(factor: float) -> Change:
    """The light changes at 0:12."""

    def changed(result: TrackResult) -> TrackResult:
        factors = np.where(result.times < 12.0, 1.0, factor)
        return replace(result, brightness=(result.brightness * factors).astype(np.float32))

    return changed


def brightness(value: float) -> Change:
    return lambda result: replace(result, brightness=np.full(len(result), value, dtype=np.float32))


def face_scaled(factor: float, shift: float = 0.0) -> Change:
    def changed(result: TrackResult) -> TrackResult:
        points = SIZE / 2 + factor * (result.landmarks - SIZE / 2) + shift
        return replace(result, landmarks=points.astype(np.float32))

    return changed


def blurred_frames(value: float) -> Change:
    def changed(result: TrackResult) -> TrackResult:
        sharpness = result.sharpness.copy()
        sharpness[125:176] = value
        return replace(result, sharpness=sharpness)

    return changed


def dropping(reason: str, count: int = 25) -> Change:
    return lambda result: with_drops(result, reason, 5.0, count)


def nothing(result: TrackResult) -> TrackResult:
    return result


CASES: list[tuple[str, Change, Change]] = [
    ("short", lambda _: good_result(200), lambda _: good_result(400)),
    ("reprojection", with_error(1.05 * GOOD_ERROR), with_error(0.95 * GOOD_ERROR)),
    ("dropped-many", dropping("no face", 100), dropping("no face", 80)),
    ("light-changes", light_step(0.8), light_step(0.95)),
    ("dark", brightness(DARK - 0.02), brightness(DARK + 0.02)),
    ("bright", brightness(BRIGHT + 0.02), brightness(BRIGHT - 0.02)),
    ("small-face", face_scaled(0.3), face_scaled(0.45)),
    ("cut-off", face_scaled(1.0, 0.31 * SIZE), face_scaled(1.0, 0.25 * SIZE)),
    ("head-still", with_pose(4, lambda yaw: 0.1 * yaw), with_pose(4, lambda yaw: 0.3 * yaw)),
    ("blurred", blurred_frames(0.3), blurred_frames(0.5)),
    ("dropped", dropping("a cat"), nothing),
    ("focal-length", lambda result: replace(result, focal_source="default"), nothing),
    *(
        (code, dropping(reason), dropping("no face" if code != "no-face" else "occluded"))
        for reason, (code, _) in DROP_ADVICE.items()
    ),
    *((goal.code, with_turn(goal.code, 0.9), with_turn(goal.code, 1.1)) for goal in POSE_GOALS),
    *(
        (goal.code, with_strength(goal.code, 0.9), with_strength(goal.code, 1.1))
        for goal in EXPRESSION_GOALS
    ),
]


def test_a_good_video_needs_no_advice() -> None:
    summary = summary_of(good_result())
    assert summary.advice == ()
    assert summary.verdict.word == "good"


@pytest.mark.parametrize(
    ("code", "trigger", "spare"), CASES, ids=[f"{code}-{i}" for i, (code, *_) in enumerate(CASES)]
)
def test_advice_comes_when_it_is_due(code: str, trigger: Change, spare: Change) -> None:
    assert code in advice_of(trigger(good_result()))
    assert code not in advice_of(spare(good_result()))


def test_every_code_is_explained() -> None:
    """The guide's table has a row for every code, and no other."""
    guide = (Path(__file__).resolve().parents[2] / "docs" / "capture.md").read_text("utf-8")
    rows = [line.split("|")[1] for line in guide.splitlines() if line.startswith("| `")]
    assert set(re.findall(r"`([a-z-]+)`", " ".join(rows))) == {code for code, *_ in CASES}


def test_every_code_is_tested() -> None:
    known = {"short", "reprojection", "dropped-many", "dropped", "light-changes", "dark", "bright"}
    known |= {"small-face", "cut-off", "head-still", "focal-length"}
    known |= {code for code, _ in DROP_ADVICE.values()}
    known |= {goal.code for goal in (*POSE_GOALS, *EXPRESSION_GOALS)}
    assert {code for code, *_ in CASES} == known


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (with_turn("turn-left", 0.5), "Turn further to the left: 12 degrees reached, 25 is good."),
        (with_strength("smile", 0.5), "Smile broadly: 25 % reached, 50 % is good."),
        (light_step(0.8), "The light changes at 0:12;"),
        (blurred_frames(0.3), "The picture is blurred at 0:05-0:07;"),
        (dropping("blurred", 51), "The picture is blurred at 0:05-0:07;"),
        (dropping("occluded"), "Something, such as a hand, is before the face at 0:05"),
    ],
)
def test_advice_is_plain(change: Change, text: str) -> None:
    assert any(item.text.startswith(text) for item in advice_of(change(good_result())).values())


def test_a_larger_face_may_have_larger_errors() -> None:
    result = with_error(0.95 * GOOD_ERROR)(good_result())
    near = replace(result, landmarks=(1.5 * result.landmarks - 0.25 * SIZE).astype(np.float32))
    assert "reprojection" not in advice_of(refitted(near, errors=1.4 * result.fit.errors))
    assert "reprojection" in advice_of(refitted(result, errors=1.4 * result.fit.errors))


def test_repeated_frames_cost_nothing() -> None:
    assert advice_of(dropping("repeated", 400)(good_result())) == {}


def test_expressions_just_short_of_the_goal_are_rounded_down() -> None:
    (item,) = advice_of(with_strength("smile", 0.999)(good_result())).values()
    assert "49 % reached, 50 % is good" in item.text


def test_turning_to_and_from_a_lamp_is_no_change_of_the_light() -> None:
    result = good_result()
    yaw = HeadAngles.of(result.fit.pose).yaw
    lit = replace(result, brightness=(0.5 + 0.2 * yaw / 32.0).astype(np.float32))
    assert "light-changes" not in advice_of(lit)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (nothing, "good"),
        (dropping("blurred", 5), "good"),
        (with_strength("smile", 0.5), "usable"),
        (with_strength("cheeks", 0.5), "good"),
        (with_error(1.05 * GOOD_ERROR), "usable"),
        (with_error(1.05 * POOR_ERROR), "film again"),
        (dropping("no face", 600), "film again"),
        (lambda _: good_result(MIN_FRAMES - 1), "film again"),
    ],
)
def test_verdict_follows_from_the_gravest_advice(change: Change, word: str) -> None:
    assert summary_of(change(good_result())).verdict.word == word


def test_the_gravest_advice_comes_first() -> None:
    result = dropping("no face", 600)(with_strength("smile", 0.5)(good_result()))
    levels = [item.level for item in summary_of(result).advice]
    assert levels == sorted(levels, key=["fail", "weak", "note"].index)
    assert set(levels) == {"fail", "weak", "note"}


# Measures


def test_angles_are_the_persons_own() -> None:
    pose = np.zeros((4, 15), dtype=np.float32)
    pose[0, 4] = 0.3  # the neck turns the face to +X, the person's left
    pose[1, 3] = 0.2  # the neck nods down
    pose[2, 2] = 0.1  # the body tilts from +X to +Y: towards the right shoulder
    pose[3, [1, 4]] = 0.1  # body and neck add up
    angles = HeadAngles.of(pose)
    assert np.allclose(angles.yaw, np.degrees([0.3, 0.0, 0.0, 0.2]), atol=1e-4)
    assert np.allclose(angles.pitch, np.degrees([0.0, -0.2, 0.0, 0.0]), atol=1e-4)
    assert np.allclose(angles.roll, np.degrees([0.0, 0.0, 0.1, 0.0]), atol=1e-4)


def test_gaze_is_the_persons_own() -> None:
    pose = np.zeros((1, 15), dtype=np.float32)
    pose[0, [10, 13]] = 0.2
    pose[0, [9, 12]] = -0.1
    across, up = gaze_angles(pose)
    assert np.allclose([across[0], up[0]], np.degrees([0.2, 0.1]))


def test_one_wrong_frame_reaches_nothing() -> None:
    values = np.zeros(100)
    values[3] = 50.0
    assert reached(values) == 0.0
    values[4:6] = 40.0
    assert reached(values) == 40.0


def test_every_frame_is_in_the_histogram() -> None:
    angles = HeadAngles(
        yaw=np.float32([0.0, 25.0, -90.0]),
        pitch=np.float32([5.0, -15.0, 80.0]),
        roll=np.zeros(3, dtype=np.float32),
    )
    histogram = pose_histogram(angles)
    assert histogram.sum() == 3
    assert histogram[4, 6] == histogram[2, 8] == histogram[7, 0] == 1


def test_sides_of_the_strongest_expressions_are_joined() -> None:
    expression = np.zeros((2, 50), dtype=np.float32)
    expression[1, [NAMES.index("mouthSmileLeft"), NAMES.index("mouthSmileRight")]] = 0.5, 0.7
    expression[1, NAMES.index("mouthLeft")] = 0.4
    (first, smile), (second, left) = strongest(expression, NAMES, 2)
    assert (first, second) == ("mouthSmile", "mouthLeft")
    assert np.allclose(smile, [0.0, 0.6])
    assert np.allclose(left, [0.0, 0.4])


def test_head_models_without_names_have_a_jaw() -> None:
    summary = TrackSummary.of(replace(good_result(), edition="flame2020"))
    assert [reach.goal.code for reach in summary.expressions] == ["open-mouth"]


def test_typical_frames_are_spread_and_of_median_error() -> None:
    errors = np.tile([5.0, 1.0, 3.0], 8)
    assert typical_frames(errors) == [2 + 3 * part for part in range(8)]
    errors[:12] = np.nan
    assert min(typical_frames(errors)) >= 12
    assert typical_frames(np.zeros(2)) == [0, 1]


def test_worst_frames_lie_apart() -> None:
    errors = np.ones(100)
    errors[40:44] = 5.0, 6.0, 5.0, np.nan
    errors[80] = 4.0
    times = np.arange(100) / FPS
    worst = worst_frames(errors, times)
    assert worst[:2] == [41, 80]
    assert np.diff(sorted(worst)).min() >= 0.5 * FPS


def test_frames_without_landmarks_do_not_count() -> None:
    result = good_result()
    errors, landmarks = result.fit.errors.copy(), result.landmarks.copy()
    errors[:20] = landmarks[:20] = np.nan
    summary = summary_of(refitted(replace(result, landmarks=landmarks), errors=errors))
    assert summary.advice == ()
    assert summary.reprojection["mean"] == pytest.approx(0.3 * REFERENCE_SIZE / SIZE)


@pytest.mark.parametrize(
    ("moments", "spans"),
    [
        ([], ()),
        ([1.0], ((1.0, 1.0),)),
        ([1.4, 1.0, 1.2, 3.0], ((1.0, 1.4), (3.0, 3.0))),
    ],
)
def test_moments_are_joined(moments: list[float], spans: tuple[Span, ...]) -> None:
    assert join_moments(moments) == spans


@pytest.mark.parametrize(
    ("spans", "text"),
    [
        (((12.3, 12.9),), "at 0:12"),
        (((5.0, 7.2), (72.0, 72.0)), "at 0:05-0:07 and 1:12"),
        (((1.0, 1.1), (1.6, 1.9), (3.0, 3.0), (9.0, 9.0)), "at 0:01, 0:03 and 0:09"),
        (SECONDS, "at 0:00, 0:01, 0:02, 0:03, 0:04 and 4 more times"),
    ],
)
def test_times_in_words(spans: tuple[Span, ...], text: str) -> None:
    assert when(spans) == text


def test_clock() -> None:
    assert [clock(value) for value in (0.0, 59.9, 61.0, 600.0)] == ["0:00", "0:59", "1:01", "10:00"]
