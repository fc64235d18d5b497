"""FrameFitter on landmarks of known parameters: accuracy, restarts, gaze, confidence, errors."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytest

from imavatar_deploy.errors import InputError
from imavatar_deploy.head_fit import FitSettings, FrameFit, FrameFitter
from imavatar_deploy.head_fit.landmark_groups import LEFT_IRIS
from imavatar_deploy.retarget.arkit import ARKIT_NAMES

from .subjects import INTRINSICS, SIZE, openhead, subject

FRAMES = 60


def fitter(settings: FitSettings | None = None) -> FrameFitter:
    return FrameFitter(openhead().for_subject(subject(FRAMES).shape), INTRINSICS, SIZE, settings)


@lru_cache(maxsize=1)
def fits() -> list[FrameFit]:
    solver = fitter()
    return [solver.fit(landmarks) for landmarks in subject(FRAMES).noisy(0.5)]


def stacked(name: str) -> Any:
    return np.stack([getattr(fit, name) for fit in fits()])


def rms_degrees(difference: Any) -> float:
    return float(np.degrees(np.sqrt((difference**2).mean())))


def correlation(first: Any, second: Any) -> float:
    return float(np.corrcoef(first, second)[0, 1])


def test_pose_and_jaw_are_those_of_the_subject() -> None:
    truth = subject(FRAMES)
    pose = stacked("pose")
    assert rms_degrees(pose[:, 3:6] - truth.pose[:, 3:6]) < 0.4
    assert rms_degrees(pose[:, 6] - truth.pose[:, 6]) < 1.0
    assert np.abs(stacked("translation") - truth.translation).max() < 0.03
    assert max(fit.error for fit in fits()) < 1.5
    assert min(fit.confidence for fit in fits()) > 0.9


def test_the_jaw_follows_the_lips() -> None:
    assert correlation(stacked("pose")[:, 6], subject(FRAMES).pose[:, 6]) > 0.97


def test_the_eyes_stay_nearly_parallel_where_one_iris_is_off() -> None:
    landmarks = subject(FRAMES).landmarks[20].copy()
    landmarks[list(LEFT_IRIS), 1] += 4.0
    pose = fitter().fit(landmarks).pose
    assert abs(np.degrees(pose[9] - pose[12])) < 2.0


def test_gaze_is_in_the_eyes_alone() -> None:
    truth = subject(FRAMES)
    names = openhead().expression_names
    open_ = truth.expression[:, names.index("eyeBlinkLeft")] < 0.3
    for column in (10, 13):
        fitted = stacked("pose")[open_, column]
        assert correlation(fitted, truth.pose[open_, column]) > 0.98
        assert rms_degrees(fitted - truth.pose[open_, column]) < 3.0
    locked = [name.startswith("eyeLook") for name in names]
    assert (stacked("expression")[:, locked] == 0).all()


@pytest.mark.parametrize("name", ["eyeBlinkLeft", "mouthSmileRight", "browInnerUp", "mouthPucker"])
def test_expressions_follow(name: str) -> None:
    column = openhead().expression_names.index(name)
    fitted = stacked("expression")[:, column]
    assert correlation(fitted, subject(FRAMES).expression[:, column]) > 0.9
    assert fitted.min() >= 0.0
    assert fitted.max() <= 1.0


@pytest.mark.parametrize("frame", [0, 20, 35, 59])
def test_a_first_frame_needs_no_predecessor(frame: int) -> None:
    truth = subject(FRAMES)
    fit = fitter().fit(truth.landmarks[frame])
    assert rms_degrees(fit.pose[3:6] - truth.pose[frame, 3:6]) < 1.0


def test_a_jump_starts_anew() -> None:
    truth = subject(FRAMES)
    solver = fitter()
    solver.fit(truth.landmarks[0])
    turned = int(np.abs(truth.pose[:, 4] - truth.pose[0, 4]).argmax())
    fit = solver.fit(truth.landmarks[turned])
    assert fit.error < 1.5
    assert rms_degrees(fit.pose[4] - truth.pose[turned, 4]) < 1.0


def test_what_is_no_face_has_no_confidence_and_leaves_no_trace() -> None:
    truth = subject(FRAMES)
    solver = fitter()
    solver.fit(truth.landmarks[0])
    nonsense = np.random.default_rng(0).uniform(100, 400, truth.landmarks[0].shape)
    assert solver.fit(nonsense).confidence < 0.1
    fit = solver.fit(truth.landmarks[1])
    assert fit.error < 1.5
    assert fit.confidence > 0.9


def test_the_networks_confidence_counts() -> None:
    assert fitter().fit(subject(FRAMES).landmarks[0], confidence=0.25).confidence <= 0.25


def test_the_blendshape_network_is_a_prior_where_it_has_a_weight() -> None:
    landmarks = subject(FRAMES).landmarks[0]
    network = np.zeros(52, dtype=np.float32)
    network[ARKIT_NAMES.index("cheekPuff")] = 1.0
    column = openhead().expression_names.index("cheekPuff")
    plain = fitter().fit(landmarks, blendshapes=network).expression[column]
    strong = FitSettings(blendshapes=1.0)
    pulled = fitter(strong).fit(landmarks, blendshapes=network).expression[column]
    assert plain < 0.1
    assert pulled > 0.5


@pytest.mark.parametrize(
    ("landmarks", "message"),
    [
        (np.zeros((68, 2)), "landmarks must have shape .478, 2. or .478, 3., got .68, 2."),
        (np.full((478, 2), np.nan), "landmarks must be finite"),
    ],
)
def test_landmarks_that_cannot_be_used(landmarks: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fitter().fit(landmarks)
