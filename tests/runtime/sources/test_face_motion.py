"""FaceMotion: withheld faces, the person's shape, and the pose that an observation states.

Landmarks and fits are stand-ins here; `test_camera_journey` uses the real ones.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from imavatar_deploy.runtime.sources.face_motion import (
    ABSENCE_SECONDS,
    BLEND_SECONDS,
    CALIBRATION_FACES,
    CALIBRATION_INTERVAL,
    QUICK_FACES,
    QUICK_INTERVAL,
    FaceMotion,
    certainty,
    head_and_face,
    intrinsics_of,
    mixed,
    with_common_gaze,
)
from imavatar_deploy.runtime.sources.observation import Observation
from imavatar_deploy.runtime.sources.subject_estimate import EstimateStage, Subject

FPS = 25.0
SECONDS = 20.0
"""Limit of every wait."""
IMAGE = np.zeros((48, 64, 3), np.uint8)
MEAN, QUICK, CALIBRATED = 0.1, 0.3, 0.5
"""Rotation of the jaw in the fits of the mean head, of the estimated and of the calibrated one."""
LONG = int((CALIBRATION_FACES + 1) * CALIBRATION_INTERVAL * FPS) + 30
"""Images in which all faces of the calibration are collected."""


class Faces:
    """Collector that counts its faces."""

    def __init__(self, stand_in: StandIn, jaw: float) -> None:
        self.stand_in = stand_in
        self.jaw = jaw
        self.count = 0

    def add(self, image: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> None:
        assert image is IMAGE
        self.count += 1

    def estimate(self) -> Subject:
        if self.stand_in.error:
            raise self.stand_in.error
        self.stand_in.held.wait(SECONDS)
        self.stand_in.estimates.append(self.count)
        return Subject(np.full(3, self.jaw, np.float32))


class StandIn:
    """Tracker, fitters and estimate whose results a test sets."""

    def __init__(self) -> None:
        self.face = True
        self.confidence = 1.0
        self.estimates: list[int] = []
        self.resets = 0
        self.error: Exception | None = None
        self.held = threading.Event()
        """Estimates wait for it."""
        self.held.set()
        stages = (
            EstimateStage("estimated", QUICK_FACES, QUICK_INTERVAL, self.collector(QUICK)),
            EstimateStage(
                "calibrated", CALIBRATION_FACES, CALIBRATION_INTERVAL, self.collector(CALIBRATED)
            ),
        )
        self.motion = FaceMotion(self, self.fitter_of, stages)
        self.time = 100.0

    def track(self, image: NDArray[np.uint8]) -> Any:
        if not self.face:
            return None
        return SimpleNamespace(landmarks=np.zeros((478, 3), np.float32), confidence=1.0)

    def collector(self, jaw: float) -> Callable[[tuple[int, int]], Faces]:
        def make(size: tuple[int, int]) -> Faces:
            assert size == (64, 48)
            return Faces(self, jaw)

        return make

    def fitter_of(self, subject: Subject, size: tuple[int, int]) -> Any:
        assert size == (64, 48)
        jaw = MEAN if subject.shape is None else float(subject.shape[0])

        def fit(landmarks: Any, *, confidence: float = 1.0, blendshapes: Any = None) -> Any:
            pose = np.zeros(15, np.float32)
            pose[6] = jaw
            return SimpleNamespace(
                expression=np.full(50, jaw, np.float32), pose=pose, confidence=self.confidence
            )

        def reset() -> None:
            self.resets += 1

        return SimpleNamespace(fit=fit, reset=reset)

    def next(self, seconds: float = 1 / FPS) -> Observation | str:
        self.time += seconds
        return self.motion.observe(IMAGE, self.time)

    def jaw(self) -> float:
        observation = self.next()
        assert isinstance(observation, Observation)
        assert observation.weights[7] == pytest.approx(observation.pose[6], abs=1e-6)
        return float(observation.pose[6])

    def learn(self) -> list[float]:
        """Show the face until it is calibrated and the blend is over; return the jaws."""
        jaws = []
        for _ in range(LONG):
            jaws.append(self.jaw())
            self.motion.wait(SECONDS)
        assert self.motion.state == "calibrated"
        return jaws


@pytest.fixture
def stand_in() -> StandIn:
    return StandIn()


def test_a_camera_may_close_before_its_first_image(stand_in: StandIn) -> None:
    stand_in.motion.wait(SECONDS)


def test_no_face_and_an_uncertain_one_are_withheld(stand_in: StandIn) -> None:
    assert isinstance(stand_in.next(), Observation)
    stand_in.face = False
    assert stand_in.next() == "empty"
    stand_in.face = True
    stand_in.confidence = 0.1
    assert stand_in.next() == "uncertain"


@pytest.mark.parametrize(
    ("log_odds", "least", "most"), [(17, 0.99, 1), (11, 0.9, 1), (7, 0, 0.2), (4, 0, 0.02)]
)
def test_a_covered_face_is_less_certain(log_odds: float, least: float, most: float) -> None:
    """Log odds of faces in real clips: free, turned by 45 degrees, and with a hand before them."""
    assert least <= certainty(1 / (1 + np.exp(-log_odds))) <= most
    assert certainty(1.0) == pytest.approx(1.0, abs=1e-6)
    assert certainty(0.0) == pytest.approx(0.0, abs=1e-6)


def test_confidence_between_both_thresholds_changes_nothing(stand_in: StandIn) -> None:
    for confidence, shown in ((0.45, True), (0.3, False), (0.45, False), (0.9, True), (0.45, True)):
        stand_in.confidence = confidence
        assert isinstance(stand_in.next(), Observation) is shown, confidence


def test_results_are_taken_over_gently(stand_in: StandIn) -> None:
    jaws = stand_in.learn()
    assert stand_in.estimates == [QUICK_FACES, CALIBRATION_FACES]
    assert jaws[0] == pytest.approx(MEAN, abs=1e-6)
    assert pytest.approx(jaws[QUICK_FACES + round(BLEND_SECONDS * FPS) + 2], abs=1e-6) == QUICK
    assert jaws[-1] == pytest.approx(CALIBRATED, abs=1e-6)
    largest = (CALIBRATED - QUICK) / (BLEND_SECONDS * FPS)
    assert np.all(np.diff(jaws) >= -1e-6)
    assert np.diff(jaws).max() < 1.1 * largest


def test_the_quick_estimate_plays_while_the_calibration_is_calculated(stand_in: StandIn) -> None:
    for _ in range(QUICK_FACES):
        stand_in.next()
    stand_in.motion.wait(SECONDS)
    stand_in.next()
    stand_in.held.clear()
    for _ in range(LONG):
        jaw = stand_in.jaw()
    assert jaw == pytest.approx(QUICK, abs=1e-6)
    assert stand_in.motion.state == "estimated (calibrated: being calculated)"
    stand_in.held.set()
    stand_in.motion.wait(SECONDS)
    stand_in.next()
    assert stand_in.motion.state == "calibrated"


def test_a_late_quick_estimate_is_not_used(stand_in: StandIn) -> None:
    stand_in.held.clear()
    for _ in range(LONG):
        assert stand_in.jaw() == pytest.approx(MEAN, abs=1e-6)
    stand_in.held.set()
    stand_in.motion.wait(SECONDS)
    stand_in.next()
    assert stand_in.motion.state == "calibrated"
    for _ in range(30):
        jaw = stand_in.jaw()
    assert jaw == pytest.approx(CALIBRATED, abs=1e-6)


def test_the_state_counts_faces(stand_in: StandIn) -> None:
    assert stand_in.motion.state == "not seen yet"
    stand_in.next()
    assert stand_in.motion.state == f"mean (estimated: 1 of {QUICK_FACES} faces)"


def test_faces_are_provisional_until_the_blend_is_over(stand_in: StandIn) -> None:
    kinds, states = [], []
    for _ in range(LONG + 30):
        observation = stand_in.next()
        assert isinstance(observation, Observation)
        kinds.append(observation.provisional)
        states.append(stand_in.motion.state)
        stand_in.motion.wait(SECONDS)
    assert kinds == sorted(kinds, reverse=True)
    blended = kinds.count(True) - states.index("calibrated")
    assert blended in (round(BLEND_SECONDS * FPS), round(BLEND_SECONDS * FPS) + 1)


@pytest.mark.parametrize("confidence", [0.1, 0.9])
def test_uncertain_faces_do_not_shape(stand_in: StandIn, confidence: float) -> None:
    stand_in.confidence = confidence
    for _ in range(LONG):
        stand_in.next()
    stand_in.motion.wait(SECONDS)
    assert stand_in.estimates == []


def test_images_at_a_high_rate_do_not_shorten_the_estimate(stand_in: StandIn) -> None:
    for _ in range(2 * QUICK_FACES):
        stand_in.next(0.01)
    stand_in.motion.wait(SECONDS)
    assert stand_in.estimates == []


def test_a_face_after_a_long_absence_is_estimated_anew(stand_in: StandIn) -> None:
    stand_in.learn()
    stand_in.face = False
    stand_in.next()
    stand_in.face = True
    assert stand_in.jaw() == pytest.approx(CALIBRATED, abs=1e-6)
    assert stand_in.resets == 1, "the fit does not start from a place of before"
    stand_in.learn()
    assert len(stand_in.estimates) == 2, "a moment without a face"
    stand_in.face = False
    stand_in.next(ABSENCE_SECONDS + 1)
    stand_in.face = True
    assert stand_in.jaw() == pytest.approx(CALIBRATED, abs=1e-6), "the former shape serves on"
    assert stand_in.motion.state.startswith("a former one's (")
    stand_in.learn()
    assert len(stand_in.estimates) == 4


def test_faces_of_two_persons_are_not_mixed(stand_in: StandIn) -> None:
    for _ in range(LONG - 60):
        stand_in.next()
    stand_in.motion.wait(SECONDS)
    assert stand_in.estimates == [QUICK_FACES]
    stand_in.face = False
    stand_in.next(ABSENCE_SECONDS + 1)
    stand_in.face = True
    stand_in.next()
    stand_in.learn()
    assert stand_in.estimates == [QUICK_FACES, QUICK_FACES, CALIBRATION_FACES]


def test_an_error_of_the_estimate_is_raised(stand_in: StandIn) -> None:
    stand_in.error = ArithmeticError("singular")
    with pytest.raises(ArithmeticError, match="singular"):
        stand_in.learn()


def test_an_observation_has_the_heads_whole_rotation() -> None:
    pose = np.random.default_rng(0).normal(0, 0.3, 15).astype(np.float32)
    whole = head_and_face(pose)
    expected = Rotation.from_rotvec(pose[:3]) * Rotation.from_rotvec(pose[3:6])
    np.testing.assert_allclose(whole[:3], expected.as_rotvec(), atol=1e-6)
    assert not whole[3:6].any()
    np.testing.assert_array_equal(whole[6:], pose[6:])


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ((0.1, 0.3), (0.2, 0.1), ((0.15, 0.2), (0.15, 0.2))),
        ((0.0, -0.05), (0.0, 0.05), ((0.0, -0.05), (0.0, 0.05))),
        ((0.0, -0.3), (0.0, 0.3), ((0.0, -0.1), (0.0, 0.1))),
    ],
)
def test_eyes_look_together_and_never_diverge(
    left: tuple[float, float],
    right: tuple[float, float],
    expected: tuple[tuple[float, float], tuple[float, float]],
) -> None:
    pose = np.arange(15) / 10
    pose[9:11], pose[12:14] = left, right
    result = with_common_gaze(pose)
    np.testing.assert_allclose((result[9:11], result[12:14]), expected, atol=1e-9)
    np.testing.assert_array_equal(result[:9], pose[:9])


def test_mixed_faces_lie_between() -> None:
    random = np.random.default_rng(0)
    one = random.random(50), random.normal(0, 0.4, 15)
    other = random.random(50), random.normal(0, 0.4, 15)
    for share, end in ((0.0, one), (1.0, other)):
        expression, pose = mixed(one, other, share)
        np.testing.assert_allclose(expression, end[0], atol=1e-9)
        np.testing.assert_allclose(pose, end[1], atol=1e-6)
    middle = mixed(one, other, 0.5)[1].reshape(5, 3)
    turns = [Rotation.from_rotvec(pose.reshape(5, 3)) for pose in (one[1], middle, other[1])]
    halves = [(turns[side].inv() * turns[1]).magnitude() for side in (0, 2)]
    np.testing.assert_allclose(halves[0], halves[1], atol=1e-6)


def test_intrinsics_are_of_square_pixels() -> None:
    fx, fy, cx, cy = intrinsics_of(None, (640, 480))
    assert (abs(fx) * 640, abs(fy) * 480) == pytest.approx((640, 640))
    assert (cx, cy) == (0.5, 0.5)
    assert abs(intrinsics_of(900, (1280, 720))[1]) * 720 == pytest.approx(900)
    assert abs(intrinsics_of(None, (512, 512))[0]) == pytest.approx(3)
