"""fit_sequence on landmarks of known parameters: accuracy, gaps, evidence, windows, errors."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytest

from imavatar_deploy.camera import Camera
from imavatar_deploy.errors import InputError
from imavatar_deploy.head_fit import (
    FrameFitter,
    SequenceFit,
    SequenceSettings,
    Silhouettes,
    TorsoMotion,
    calibrate,
    estimate_shape,
    fit_sequence,
    landmark_points_68,
)
from imavatar_deploy.head_fit.landmark_model import LandmarkModel
from imavatar_deploy.head_fit.terms import ImagePlane
from imavatar_deploy.kinematics import rotations
from imavatar_deploy.progress import silent
from imavatar_deploy.tracks.track import FlameTrack

from .subjects import INTRINSICS, SIZE, Subject, openhead, subject

FRAMES = 60


def fit(landmarks: Any, **options: Any) -> SequenceFit:
    return fit_sequence(landmarks, openhead(), INTRINSICS, SIZE, **options)


@lru_cache(maxsize=1)
def fitted() -> SequenceFit:
    return fit(subject(FRAMES).noisy(0.5))


def rms_degrees(difference: Any) -> float:
    return float(np.degrees(np.sqrt((difference**2).mean())))


def shoulder_positions(parameters: Subject | SequenceFit) -> Any:
    """Front points of the root bone in the camera's axes, `[T, N, 3]`."""
    head = openhead()
    root = np.nonzero((head.weights[:, 0] > 0.99) & (head.template[:, 2] > 0))[0]
    model = LandmarkModel.of_vertices(head, root)
    numbers = (np.asarray(v, np.float64) for v in (parameters.expression, parameters.pose))
    points = model.posed(*numbers, np.asarray(parameters.shape, np.float64)).points
    return points + parameters.translation[:, None]


def shoulder_error(result: SequenceFit, truth: Subject) -> float:
    """Rms difference of the shoulders' motion in the picture plane, millimetres."""
    motions = [shoulder_positions(p)[..., :2] for p in (result, truth)]
    first, second = (motion - motion.mean(axis=0) for motion in motions)
    return float(np.sqrt(((first - second) ** 2).sum(axis=-1).mean()) * 250)


def measured_torso(truth: Subject) -> TorsoMotion:
    """The rigid motion in the picture that the true shoulders make."""
    pixels = ImagePlane.of(INTRINSICS, SIZE).project(shoulder_positions(truth))
    anchor = pixels[0].mean(axis=0)
    reference = pixels[0] - anchor
    middle = pixels.mean(axis=1)
    offset = pixels - middle[:, None]
    cross = (reference[:, 0] * offset[..., 1] - reference[:, 1] * offset[..., 0]).sum(axis=1)
    angle = np.arctan2(cross, (reference * offset).sum(axis=(1, 2)))
    return TorsoMotion(
        (middle - anchor).astype(np.float32),
        angle.astype(np.float32),
        np.ones(len(pixels), dtype=np.float32),
        anchor.astype(np.float32),
    )


def test_parameters_are_those_of_the_subject() -> None:
    truth = subject(FRAMES)
    result = fitted()
    assert result.errors.mean() < 1.0
    neck = result.pose[:, 3:6] - truth.pose[:, 3:6]
    assert rms_degrees(neck - neck.mean(axis=0)) < 1.0
    assert rms_degrees(result.pose[:, 6] - truth.pose[:, 6]) < 2.0
    assert np.degrees(np.abs(result.pose[:, :3])).max() < 1.0
    names = openhead().expression_names
    for name in ("mouthSmileLeft", "mouthPucker", "browInnerUp", "eyeBlinkRight"):
        column = names.index(name)
        curves = result.expression[:, column], truth.expression[:, column]
        assert np.corrcoef(*curves)[0, 1] > 0.9


def test_the_eyes_rotate_as_far_as_those_of_the_subject() -> None:
    truth = subject(FRAMES)
    open_ = truth.expression[:, openhead().expression_names.index("eyeBlinkLeft")] < 0.3
    for column, least in ((9, 0.86), (10, 0.9), (12, 0.86), (13, 0.9)):
        true = truth.pose[open_, column]
        slope = np.polyfit(true, fitted().pose[open_, column], 1)[0]
        assert least < slope < 1.1


def test_the_shoulders_stand_where_they_are_measured() -> None:
    truth = subject(FRAMES)
    result = fit(truth.noisy(0.5), torso=measured_torso(truth))
    assert shoulder_error(result, truth) < 1.0
    assert shoulder_error(fitted(), truth) < 2.5


def test_frames_without_a_face_are_interpolated_and_marked() -> None:
    truth = subject(FRAMES)
    landmarks = truth.noisy(0.5)
    landmarks[20:23] = np.nan
    confidences = np.ones(FRAMES)
    confidences[40] = 0.0
    landmarks[40] += 200.0
    result = fit(landmarks, confidences=confidences)
    missing = [20, 21, 22, 40]
    assert np.isnan(result.errors[missing]).all()
    assert (result.weights[missing] == 0).all()
    assert np.isfinite(np.delete(result.errors, missing)).all()
    error = (result.pose - truth.pose)[missing, 4]
    assert np.degrees(np.abs(error)).max() < 4.0
    assert np.abs(result.translation - truth.translation)[missing, :2].max() < 0.05


def test_a_wrong_focal_length_leaves_the_pose() -> None:
    truth = subject(FRAMES)
    wrong = INTRINSICS * np.array([1.2, 1.2, 1, 1], dtype=np.float32)
    result = fit_sequence(truth.noisy(0.5), openhead(), wrong, SIZE)
    assert result.errors.mean() < 1.2
    turn = result.pose[:, 4] - truth.pose[:, 4]
    assert rms_degrees(turn - turn.mean()) < 2.0
    assert rms_degrees(result.pose[:, 6] - truth.pose[:, 6]) < 2.5


def test_a_given_shape_stays() -> None:
    truth = subject(FRAMES)
    # The head turns by two degrees a frame, of which the published temporal weight takes some
    result = fit(truth.landmarks[:12], shape=truth.shape)
    np.testing.assert_array_equal(result.shape, truth.shape.astype(np.float32))
    assert rms_degrees(result.pose[:, 3:6] - truth.pose[:12, 3:6]) < 1.0


def test_given_places_of_the_landmarks_stay() -> None:
    truth = subject(FRAMES)
    first = fit(truth.landmarks[::2])
    assert np.abs(first.offsets).max() > 0
    again = fit(truth.landmarks[1::2], shape=first.shape, offsets=first.offsets)
    np.testing.assert_array_equal(again.offsets, first.offsets)
    with pytest.raises(InputError, match="need the shape"):
        fit(truth.landmarks[:12], offsets=first.offsets)


def test_windows_agree_with_one_solution() -> None:
    truth = subject(FRAMES)
    whole = fit(truth.landmarks, shape=truth.shape, settings=SequenceSettings(offsets=0))
    settings = SequenceSettings(window=30, overlap=10, offsets=0)
    parts = fit(truth.landmarks, shape=truth.shape, settings=settings)
    assert "windows" in parts.notes[0]
    assert rms_degrees(parts.pose - whole.pose) < 0.1
    assert np.abs(parts.translation - whole.translation).max() < 0.02


def test_measured_shoulders_tell_root_from_neck() -> None:
    frames = subject(FRAMES)
    pose = frames.pose.copy()
    pose[:, 2] = 0.06 * np.sin(np.arange(FRAMES) / 12.0)
    pose[:, 5] -= pose[:, 2]
    truth = leaning(frames, pose)
    without = fit(truth.landmarks, shape=truth.shape)
    measured = fit(truth.landmarks, shape=truth.shape, torso=measured_torso(truth))
    lean = pose[:, 2] - pose[:, 2].mean()
    assert rms_degrees(without.pose[:, 2] - without.pose[:, 2].mean() - lean) > 1.5
    assert rms_degrees(measured.pose[:, 2] - measured.pose[:, 2].mean() - lean) < 0.8
    assert shoulder_error(measured, truth) < 1.0 < shoulder_error(without, truth)


def leaning(frames: Subject, pose: Any) -> Subject:
    from imavatar_deploy.head_fit import landmark_points

    model = LandmarkModel.of(openhead(), landmark_points(openhead()))
    points = model.posed(frames.expression, pose, frames.shape).points
    pixels = ImagePlane.of(INTRINSICS, SIZE).project(points + frames.translation[:, None])
    return Subject(frames.shape, frames.expression, pose, frames.translation, pixels)


def cut_off(truth: Subject, count: int) -> Silhouettes:
    """A level outline below the top of the head, as if the mask had cut it."""
    model = LandmarkModel.of_vertices(openhead(), np.arange(0, len(openhead().template), 3))
    posed = model.posed(truth.expression, truth.pose, truth.shape).points[:count]
    pixels = ImagePlane.of(INTRINSICS, SIZE).project(posed + truth.translation[:count, None])
    top = pixels[..., 1].min(axis=1)
    columns = np.linspace(120, 390, 60, dtype=np.float32)
    up = np.tile(np.array([0, -1], dtype=np.float32), (60, 1))
    lines = [np.stack([columns, np.full(60, row + 20, np.float32)], 1) for row in top]
    return Silhouettes(
        tuple(lines),
        (up,) * count,
        (np.zeros(60, dtype=np.int32),) * count,
        np.ones(count, dtype=np.float32),
    )


STRONG = SequenceSettings(silhouettes=20.0)


def height_of(shape: Any) -> float:
    return float(openhead().for_subject(shape).template[:, 1].max())


def test_the_head_stays_inside_the_outline() -> None:
    truth = subject(FRAMES)
    plain = fit(truth.landmarks[:12], settings=STRONG)
    pressed = fit(truth.landmarks[:12], silhouettes=cut_off(truth, 12), settings=STRONG)
    assert height_of(pressed.shape) < height_of(plain.shape) - 0.003


def test_a_calibration_uses_the_outlines_of_its_frames() -> None:
    truth = subject(FRAMES)
    heights = [
        height_of(
            calibrate(
                truth.landmarks[:24],
                openhead(),
                INTRINSICS,
                SIZE,
                silhouettes=outline,
                settings=STRONG,
                frames=12,
            )[0]
        )
        for outline in (None, cut_off(truth, 24))
    ]
    assert heights[1] < heights[0] - 0.003


def test_68_points() -> None:
    truth = subject(FRAMES)
    points = landmark_points_68(openhead())
    model = LandmarkModel.of(openhead(), points)
    places = model.posed(truth.expression, truth.pose, truth.shape).points
    pixels = ImagePlane.of(INTRINSICS, SIZE).project(places + truth.translation[:, None])
    result = fit(pixels, points=points, shape=truth.shape)
    assert result.weights.shape == (FRAMES, 68)
    assert rms_degrees(result.pose[:, 3:6] - truth.pose[:, 3:6]) < 2.0


def test_a_track_with_a_turned_camera_is_a_start() -> None:
    truth = subject(FRAMES)
    turn = rotations(np.array([0.0, 0.3, 0.0], dtype=np.float32))[0]
    camera = Camera(np.column_stack([turn, np.array([0, 0, -4], dtype=np.float32)]), INTRINSICS)
    track = FlameTrack(
        expression=truth.expression[:10],
        pose=truth.pose[:10],
        cameras=(camera,) * 10,
        shape=truth.shape.astype(np.float32),
    )
    result = fit(truth.landmarks[:10], initial=track)
    assert result.errors.mean() < 1.0


def test_the_shape_of_a_few_frames() -> None:
    truth = subject(FRAMES)
    shape = estimate_shape(truth.noisy(0.5), openhead(), INTRINSICS, SIZE)
    assert shape.shape == (30,)
    face = (openhead().weights[:, 1] > 0.5) & (openhead().template[:, 2] > 0.03)
    plain, estimated, exact = (
        openhead().for_subject(beta).template[face] for beta in (np.zeros(0), shape, truth.shape)
    )
    centred = [points - points.mean(axis=0) for points in (plain, estimated, exact)]
    before, after = (np.linalg.norm(points - centred[2], axis=1).mean() for points in centred[:2])
    assert after < 0.7 * before


def test_a_calibration_brings_a_frames_landmarks_nearer() -> None:
    truth = subject(FRAMES)
    shift = np.random.default_rng(3).normal(0, 3.0, (1, 478, 2))
    landmarks = truth.noisy(0.3) + shift
    shape, offsets = calibrate(landmarks, openhead(), INTRINSICS, SIZE, frames=30)
    head = openhead().for_subject(shape)
    plain = FrameFitter(head, INTRINSICS, SIZE)
    calibrated = FrameFitter(head, INTRINSICS, SIZE, offsets=offsets)
    before, after = (
        np.mean([fitter.fit(points).error for points in landmarks[::5]])
        for fitter in (plain, calibrated)
    )
    assert after < 0.7 * before


def test_progress_counts_to_the_end() -> None:
    from contextlib import contextmanager

    counts: dict[str, list[int]] = {}

    @contextmanager
    def progress(description: str, total: int | None) -> Any:
        counts[description] = [total or 0, 0]

        def advance(steps: int) -> None:
            counts[description][1] += steps

        yield advance

    fit(subject(FRAMES).landmarks[:6], progress=progress)
    assert len(counts) == 2
    assert all(total == done for total, done in counts.values())
    assert silent("", None) is not None


@pytest.mark.parametrize(
    ("landmarks", "options", "message"),
    [
        (np.full((3, 478, 2), np.nan), {}, "none of the 3 frames has landmarks"),
        (np.zeros((3, 70, 2)), {}, "landmarks must have shape .T, 478, 2. or .T, 478, 3."),
        (np.zeros((3, 478, 2)), {"times": [0.0, 0.0, 1.0]}, "times must be finite and ascending"),
        (np.zeros((3, 478, 2)), {"confidences": [1.0]}, "confidences must have shape"),
    ],
)
def test_input_that_cannot_be_used(landmarks: Any, options: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fit(landmarks, **options)
