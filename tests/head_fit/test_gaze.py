"""Eyeballs placed by the landmarks of lids and irises, and eyes that follow the iris centres."""

from __future__ import annotations

from typing import Any

import numpy as np

from imavatar_deploy.head_fit import SequenceSettings, fit_sequence
from imavatar_deploy.head_fit.gaze import (
    MIN_FRAMES,
    gaze_features,
    predicted_gaze,
    with_eyeballs_placed,
)
from imavatar_deploy.head_fit.landmark_groups import LEFT_IRIS, RIGHT_IRIS
from imavatar_deploy.kinematics import rotations

from .subjects import INTRINSICS, SIZE, openhead, subject

FRAMES = 60


def head_rotations(pose: Any) -> Any:
    turned = rotations(np.asarray(pose, dtype=np.float32)).astype(np.float64)
    return turned[:, 0] @ turned[:, 1]


def test_features_do_not_depend_on_place_size_and_roll() -> None:
    truth = subject(FRAMES)
    rotation = head_rotations(truth.pose)
    turn = np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    moved = truth.landmarks[:, :, :2] @ turn.T * 1.7 + [30.0, -12.0]
    features = gaze_features(truth.landmarks, rotation)
    np.testing.assert_allclose(gaze_features(moved, rotation), features, atol=1e-6)


def test_predictions_follow_the_eyes() -> None:
    truth = subject(FRAMES)
    open_ = truth.expression[:, openhead().expression_names.index("eyeBlinkLeft")] < 0.3
    predicted = predicted_gaze(truth.landmarks, head_rotations(truth.pose))
    assert np.corrcoef(predicted[open_, 1], truth.pose[open_, 10])[0, 1] > 0.9


def test_eyeballs_are_placed_where_the_landmarks_of_the_lids_have_them() -> None:
    truth = subject(FRAMES)
    rotation = head_rotations(truth.pose)
    predicted = predicted_gaze(truth.landmarks, rotation)
    pose = np.array(truth.pose, dtype=np.float64)
    sine = rotation[:, 0, 2] / np.hypot(rotation[:, 0, 2], rotation[:, 2, 2])
    pose[:, [9, 12]] = 0.2
    pose[:, 10] = predicted[:, 1] + 0.1 + 0.2 * sine
    pose[:, 13] = predicted[:, 1] - 0.1 - 0.3 * sine
    placed = with_eyeballs_placed(pose, truth.landmarks, np.ones(FRAMES, dtype=bool))
    np.testing.assert_allclose(placed[:, [10, 13]], predicted[:, [1, 1]], atol=0.03)
    np.testing.assert_allclose(placed[:, [9, 12]], 0.0, atol=1e-6)
    np.testing.assert_array_equal(
        np.delete(placed, [9, 10, 12, 13], 1), np.delete(pose, [9, 10, 12, 13], 1)
    )


def test_eyeballs_stay_where_few_frames_show_irises() -> None:
    truth = subject(FRAMES)
    visible = np.arange(FRAMES) < MIN_FRAMES - 1
    placed = with_eyeballs_placed(truth.pose, truth.landmarks, visible)
    np.testing.assert_array_equal(placed, truth.pose)


def test_eyes_follow_the_centres_of_the_irises() -> None:
    truth = subject(12)
    moved = truth.landmarks.copy()
    moved[6:, [RIGHT_IRIS[0], LEFT_IRIS[0]], 0] += 3.0
    jumps = []
    for irises in (False, True):
        settings = SequenceSettings(irises=irises)
        yaws = [
            fit_sequence(
                landmarks, openhead(), INTRINSICS, SIZE, shape=truth.shape, settings=settings
            )
            .pose[:, [10, 13]]
            .mean(axis=1)
            for landmarks in (truth.landmarks, moved)
        ]
        change = yaws[1] - yaws[0]
        jumps.append(np.degrees(change[8:].mean() - change[:4].mean()))
    assert jumps[1] > 6.0
    assert jumps[1] > 2.5 * jumps[0]
