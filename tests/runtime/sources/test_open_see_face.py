"""OpenSeeFace: a person in front of a camera, as its tracker describes faces."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from imavatar_deploy.errors import InputError
from imavatar_deploy.retarget.arkit import ARKIT_NAMES
from imavatar_deploy.runtime.sources.open_see_face import FACE, parse

from .situations import (
    EYES_LEFT,
    NOSE_AND_CROWN,
    assert_gaze,
    assert_head,
    moved,
    open_see_face,
    open_see_face_axes,
)

FEATURES = (
    *(
        "eye_l",
        "eye_r",
        "eyebrow_steepness_l",
        "eyebrow_updown_l",
        "eyebrow_quirk_l",
        "eyebrow_steepness_r",
    ),
    *("eyebrow_updown_r", "eyebrow_quirk_r", "mouth_corner_updown_l", "mouth_corner_inout_l"),
    *("mouth_corner_updown_r", "mouth_corner_inout_r", "mouth_open", "mouth_wide"),
)
"""In the order of facetracker.py."""


def shapes(packet: bytes) -> dict[str, float]:
    (observation,) = parse(packet)
    return {
        name: float(value)
        for name, value in zip(ARKIT_NAMES, observation.weights, strict=True)
        if value
    }


def test_a_face_is_1785_bytes() -> None:
    assert FACE.size == len(open_see_face()) == 1785


@pytest.mark.parametrize("situation", NOSE_AND_CROWN)
@pytest.mark.parametrize("depth", [-4.0, 4.0])
def test_head(situation: str, depth: float) -> None:
    axes = open_see_face_axes(situation, behind=depth < 0)
    assert np.linalg.det(axes) == pytest.approx(1)
    (observation,) = parse(open_see_face(axes, depth=depth))
    assert_head(observation, situation)
    assert observation.time == 1000.25


def found_by_opencv(situation: str) -> tuple[NDArray[np.float64], float]:
    """Face to camera, and the depth, by the call of OpenCV in tracker.py."""
    around = np.radians(np.linspace(90, -90, 17))
    jaw = np.stack(
        [0.5 * np.sin(around), 0.3 - 0.8 * np.cos(around), 0.4 * np.cos(around) - 0.6], axis=1
    )
    nose = np.array([[0, 0.26, -0.1], [0, 0.16, -0.06], [0, 0.07, -0.02], [0, 0, 0]])
    face = np.concatenate([jaw, nose])  # the person's right, up, out of the face
    tip, crown = (np.array(vector) for vector in NOSE_AND_CROWN[situation])
    left, up, out = (face @ np.stack([-np.cross(crown, tip), crown, tip])).T
    size = 640
    distance = 3 - out
    pixels = np.stack([size / 2 - size * up / distance, size / 2 + size * left / distance], axis=1)
    camera = np.array([[size, 0, size / 2], [0, size, size / 2], [0, 0, 1.0]])
    start = np.zeros(3, np.float32), np.zeros(3, np.float32)
    _, rotation, translation = cv2.solvePnP(
        face.astype(np.float32),
        pixels.astype(np.float32),
        camera,
        None,
        *start,
        True,
        cv2.SOLVEPNP_ITERATIVE,
    )
    return cv2.Rodrigues(rotation)[0], float(np.ravel(translation)[2])


@pytest.mark.parametrize("situation", NOSE_AND_CROWN)
def test_a_face_that_opencv_found_is_near_to_where_it_is(situation: str) -> None:
    """The solver is some 10 degrees off, always to the same side; signs are tested here."""
    axes, depth = found_by_opencv(situation)
    assert depth < 0, "behind the camera"
    (observation,) = parse(open_see_face(axes, depth=depth))
    for vector, expected in zip(((0, 0, 1), (0, 1, 0)), NOSE_AND_CROWN[situation], strict=True):
        assert moved(observation, 0, vector) @ expected > np.cos(np.radians(14))


def test_eyes_look_left() -> None:
    """The person's left is -x in the tracker's face axes; the sender negates y and z."""
    (observation,) = parse(open_see_face(gaze=EYES_LEFT))
    assert_gaze(observation, EYES_LEFT)


def test_without_gaze_tracking_the_eyes_are_not_sent() -> None:
    packet = bytearray(open_see_face(gaze=EYES_LEFT))
    first = 8 + 4 + 16 + 1 + 4 + 40
    packet[first + 4 * 66 : first + 4 * 68] = bytes(8)
    (observation,) = parse(bytes(packet))
    assert not observation.pose[9:].any()


def test_blinks_are_the_persons_own_and_the_right_eye_comes_first() -> None:
    assert shapes(open_see_face(eyes_open=(0.25, 1.0))) == {"eyeBlinkRight": 0.75}
    assert shapes(open_see_face(eyes_open=(1.0, 0.0))) == {"eyeBlinkLeft": 1.0}


@pytest.mark.parametrize(
    ("feature", "value", "expected"),
    [
        ("eye_l", 0.5, {"eyeWideLeft": 0.25}),
        ("eye_l", -0.5, {}),
        ("eyebrow_updown_l", 0.5, {"browOuterUpLeft": 0.25, "browInnerUp": 0.125}),
        ("eyebrow_updown_r", -1.0, {"browDownRight": 0.5}),
        ("mouth_corner_updown_l", -0.5, {}),
        ("mouth_corner_updown_l", -1.3, {"mouthSmileLeft": 0.25}),
        ("mouth_corner_updown_r", 0.65, {"mouthFrownRight": 0.25}),
        ("mouth_corner_inout_r", 0.65, {"mouthStretchRight": 0.25}),
        ("mouth_wide", 1.0, {"mouthSmileLeft": 1 / 7, "mouthSmileRight": 1 / 7}),
        ("mouth_open", 1.5, {"jawOpen": 1.0}),
        ("mouth_open", -1.0, {}),
        ("mouth_wide", -0.5, {"mouthPucker": 0.15}),
        ("eyebrow_quirk_l", 1.0, {}),
    ],
)
def test_features(feature: str, value: float, expected: dict[str, float]) -> None:
    features = [value if name == feature else 0.0 for name in FEATURES]
    assert shapes(open_see_face(features=features)) == pytest.approx(expected, abs=1e-6)


def test_a_smile_raises_the_corners_and_widens_the_mouth() -> None:
    smile = {"mouth_corner_updown_l": -1.0, "mouth_corner_updown_r": -1.0, "mouth_wide": 1.0}
    features = [smile.get(name, 0.0) for name in FEATURES]
    assert shapes(open_see_face(features=features)) == pytest.approx(
        {"mouthSmileLeft": 0.5, "mouthSmileRight": 0.5}, abs=1e-6
    )


def test_of_several_faces_the_surest_is_taken() -> None:
    unsure = open_see_face(confidence=0.5, time=1)
    lost = open_see_face(confidence=0.99, success=0, time=2)
    (observation,) = parse(unsure + lost + open_see_face(confidence=0.9, time=3))
    assert observation.time == 3


@pytest.mark.parametrize("packet", [open_see_face(success=0), open_see_face(confidence=0.3)])
def test_without_a_face_there_is_nothing(packet: bytes) -> None:
    assert parse(packet) == []


@pytest.mark.parametrize("packet", [b"", open_see_face()[:-1], open_see_face() + b"\0"])
def test_other_sizes_are_refused(packet: bytes) -> None:
    with pytest.raises(InputError, match="1785 bytes a face"):
        parse(packet)
