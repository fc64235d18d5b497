"""Options of the motion: calibration, gains and limits, head motion, settings, messages."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.kinematics import rotations
from imavatar_deploy.runtime.live.motion import (
    HEADS,
    MotionSettings,
    Neutral,
    read_adjustment,
    read_neutral,
)
from imavatar_deploy.runtime.live.motion.calibration import (
    CALIBRATION_FACES,
    Calibrator,
    median_face,
)
from imavatar_deploy.runtime.live.motion.face_state import face_of

RNG = np.random.default_rng(0)
NAMES = (*(f"expression{index}" for index in range(48)), "mouthSmileLeft", "mouthSmileRight")


def neutral() -> Neutral:
    return Neutral(RNG.normal(size=50), np.array([0.1, 1.5, 0.2, *0.1 * RNG.normal(size=12)]))


def test_the_neutral_face_becomes_neutral_and_turns_keep_their_axes() -> None:
    rest = neutral()
    at_rest = rest.subtract_from(face_of(rest.expression, rest.pose))
    np.testing.assert_allclose(at_rest.expression, 0, atol=1e-12)
    np.testing.assert_allclose(at_rest.pose(), 0, atol=1e-12)
    nod = np.zeros(15, dtype=np.float32)
    nod[0] = 0.3
    sideways = (
        rotations(rest.pose)[0] @ rotations(nod)[0]
    )  # someone who faces aside nods about the own ears
    angles = np.array([*_axis_angle(sideways), *rest.pose[3:]])
    np.testing.assert_allclose(
        rest.subtract_from(face_of(rest.expression, angles)).pose(), nod, atol=1e-5
    )


def _axis_angle(matrix: np.ndarray) -> np.ndarray:
    return cv2.Rodrigues(matrix.astype(np.float64))[0][:, 0]


def test_a_blink_or_another_face_does_not_move_the_median() -> None:
    rest = neutral()
    faces = [
        face_of(rest.expression, rest.pose).plus(0.01 * RNG.normal(size=65)) for _ in range(90)
    ]
    faces[10:20] = [face_of(np.full(50, 5.0), np.full(15, 0.9))] * 10
    result = median_face(faces)
    assert np.abs(result.expression - rest.expression).max() < 0.01
    assert (
        np.abs(
            face_of(result.expression, result.pose).minus(face_of(rest.expression, rest.pose))
        ).max()
        < 0.01
    )


def test_calibrating_ends_with_its_time_and_keeps_few_faces() -> None:
    face = face_of(np.ones(50), np.zeros(15))
    calibrator = Calibrator(1.0)
    assert [calibrator.add(face, arrived) is not None for arrived in (5.0, 5.5, 5.99, 6.0)] == [
        False
    ] * 3 + [True]
    assert Calibrator(0.0).add(face, 1.0) is not None
    busy = Calibrator(1e9)
    for arrived in range(CALIBRATION_FACES + 50):
        busy.add(face, arrived)
    assert len(busy._faces) == CALIBRATION_FACES


def test_the_file_holds_it_exactly(tmp_path: Path) -> None:
    stored = neutral()
    stored.write(tmp_path / "me.json")
    result = read_neutral(tmp_path / "me.json")
    np.testing.assert_array_equal(result.expression, stored.expression)
    np.testing.assert_array_equal(result.pose, stored.pose)
    assert [path.name for path in tmp_path.iterdir()] == ["me.json"]


GOOD = {"kind": "imavatar-neutral-face", "expression": [0.0] * 50, "pose": [0.0] * 15}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "7",
        "[" * 100_000,
        json.dumps(GOOD | {"kind": "other"}),
        json.dumps(GOOD | {"expression": [0.0] * 49}),
        json.dumps(GOOD | {"expression": "zero"}),
        json.dumps(GOOD | {"pose": [float("nan")] * 15}),
        json.dumps(GOOD | {"pose": [1e30] * 15}),
        json.dumps({key: value for key, value in GOOD.items() if key != "pose"}),
    ],
)
def test_a_damaged_file_is_one_sentence(tmp_path: Path, content: str) -> None:
    (tmp_path / "me.json").write_text(content, encoding="utf-8")
    with pytest.raises(
        InputError, match=r"me\.json is not a usable calibration .*; calibrate again"
    ) as caught:
        read_neutral(tmp_path / "me.json")
    assert "\n" not in str(caught.value)


def test_a_missing_or_binary_file_too(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(bytes(range(256)))
    for name in ("nothing.json", "bytes", "."):
        with pytest.raises(InputError, match="is not a usable calibration"):
            read_neutral(tmp_path / name)


def test_gains_and_limits_reach_their_channel() -> None:
    texts = [
        "mouthSmileLeft=1.5",
        "12=0:0.8",
        "neck=0.5",
        "jawOpen=0:0.2",
        "7=2",
        "7=3",
        "head=0",
        "mouthSmileLeft=-1:1",
    ]
    adjustment = read_adjustment(texts, NAMES)
    pose = 0.5 * np.eye(3)[RNG.integers(3, size=5)].reshape(-1)
    scaled = adjustment.apply_gains(face_of(np.full(50, 0.9), pose))
    assert scaled.expression[[7, 12, 48, 49]] == pytest.approx([2.7, 0.9, 1.35, 0.9])
    expected = pose * np.repeat([0, 0.5, 1, 1, 1], 3)
    np.testing.assert_allclose(scaled.pose(), expected, atol=1e-9)
    expression, limited = adjustment.apply_limits(scaled.expression, scaled.pose())
    assert expression[[7, 12, 48, 49]] == pytest.approx([2.7, 0.8, 1.0, 0.9])
    expected[6:9] *= 0.2 / 0.5
    np.testing.assert_allclose(limited, expected, atol=1e-9)


def test_a_models_own_name_comes_before_a_bones_other_one() -> None:
    assert read_adjustment(["jawOpen=2"], ("jawOpen", *NAMES[1:])).gains[0] == 2
    assert (
        read_adjustment([], NAMES).apply_gains(face_of(np.ones(50), np.ones(15))).expression[0] == 1
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mouthSmileleft=1", "unknown channel 'mouthSmileleft': .*did you mean 'mouthSmileLeft'"),
        ("50=1", r"unknown channel '50': expected one of 0\.\.49"),
        ("neck", "must be NAME=GAIN .* or NAME=LOW:HIGH, got 'neck'; try jawOpen=1.3"),
        ("neck=", "must be NAME=GAIN"),
        ("neck=nan", "must be NAME=GAIN"),
        ("neck=11", "a gain of 0 to 10"),
        ("neck=-1", "a gain of 0 to 10"),
        ("3=0:1:2", "must be NAME=GAIN"),
        ("3=:1", "must be NAME=GAIN"),
        ("3=1:0", "the wrong way round"),
        (
            "neck=-1:1",
            "a bone's limits are angles in radians and begin at 0, got 'neck=-1:1'; try neck=0:0.5",
        ),
    ],
)
def test_other_texts_are_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_adjustment([text], NAMES)


def test_the_head_turns_by_its_row() -> None:
    pose = 0.5 * RNG.normal(size=15).astype(np.float32)
    turned = {}
    for name, row in HEADS.items():
        face = face_of(np.zeros(50), pose)
        turned[name] = face._replace(turns=row.turn(face.turns)).pose().astype(np.float32)
        np.testing.assert_allclose(turned[name][6:], pose[6:], atol=1e-6)
    np.testing.assert_allclose(turned["on"], pose, atol=1e-6)
    np.testing.assert_array_equal(turned["off"][:6], 0)
    np.testing.assert_array_equal(turned["neck"][:3], 0)
    both = rotations(pose)
    np.testing.assert_allclose(rotations(turned["neck"])[1], both[0] @ both[1], atol=1e-5)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"dropout": "relaxed"}, "unknown dropout 'relaxed': .*did you mean 'relax'"),
        ({"head": "of"}, "unknown head motion 'of': .*did you mean 'off'"),
        ({"latency": -0.1}, "the latency must be 0 to 1 seconds, got -0.1"),
        ({"latency": float("nan")}, "the latency must be 0 to 1 seconds"),
        ({"fps": 0}, "1 to 1000 observations a second, got 0"),
        ({"calibration": 100}, "a calibration must take 0 to 30 seconds, got 100"),
    ],
)
def test_impossible_settings_are_refused(choice: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        MotionSettings(**choice)


@pytest.mark.parametrize(("angle", "sign"), [("yaw", 0), ("pitch", 1), ("roll", 2)])
def test_one_angle_of_a_bone_is_reversed(angle: str, sign: int) -> None:
    """R = Ry(yaw) Rx(pitch) Rz(roll)."""
    angles = np.array([0.5, -0.3, 0.2])
    signs = np.ones(3)
    signs[sign] = -1

    def pose_of(values: np.ndarray) -> np.ndarray:
        pose = np.zeros(15)
        pose[:3] = Rotation.from_euler("YXZ", values).as_rotvec()
        return pose

    adjustment = read_adjustment([f"head.{angle}=-1"], NAMES)
    face = adjustment.apply_gains(face_of(np.zeros(50), pose_of(angles)))
    np.testing.assert_allclose(face.pose(), pose_of(signs * angles), atol=1e-9)
    untouched = read_adjustment([f"neck.{angle}=-1"], NAMES)
    still = untouched.apply_gains(face_of(np.zeros(50), pose_of(angles)))
    np.testing.assert_allclose(still.pose(), pose_of(angles), atol=1e-9)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("head.yaw=-11", "must be -10 to 10"),
        ("head.yaw=0:1", "must be -10 to 10"),
        ("head.tilt=-1", "unknown angle 'tilt'"),
        ("smile.yaw=-1", "unknown channel"),
    ],
)
def test_an_angle_that_cannot_be_scaled_is_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read_adjustment([text], NAMES)
