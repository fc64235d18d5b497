"""The face tracker: faces of any place, size and roll, faces that move, images without one."""

from __future__ import annotations

import sys

import cv2
import numpy as np
import pytest

from imavatar_deploy.errors import InputError, MissingDependencyError, UsageError
from imavatar_deploy.vision import (
    LANDMARKS,
    FaceDetection,
    FaceDetector,
    FaceTracker,
    TrackedFace,
)

from .pictures import Image, photograph

pytest.importorskip("onnxruntime", reason="needs pip install '.[cpu]'")


@pytest.fixture(scope="module")
def astronaut() -> Image:
    return photograph()


@pytest.fixture
def tracker() -> FaceTracker:
    return FaceTracker()


@pytest.fixture(scope="module")
def face(astronaut: Image) -> TrackedFace:
    """The astronaut's face, read in the region to which following comes."""
    with FaceTracker() as tracker:
        tracked = [tracker.track(astronaut) for _ in range(3)][-1]
    assert tracked is not None
    return tracked


def test_face_of_a_photograph(face: TrackedFace) -> None:
    assert face.landmarks.shape == (LANDMARKS, 3)
    assert face.landmarks.dtype == np.float32
    assert 0.9 < face.confidence <= 1
    assert face.blendshapes is None
    # Read off the photograph, enlarged four times: irises, tip of the nose, corners of the mouth.
    places = {468: (203, 101), 473: (247, 103), 4: (224, 127), 61: (203, 140), 291: (246, 140)}
    for index, place in places.items():
        assert np.linalg.norm(face.landmarks[index, :2] - place) < 4, index
    assert face.landmarks[4, 2] < face.landmarks[[234, 454], 2].min(), "the nose is nearest"


@pytest.mark.parametrize(
    ("turn", "scale", "shift"),
    [
        (0, 1, (0.5, 0.5)),
        (0, 1, (7.3, -4.6)),
        (40, 1, (0, 0)),
        (-60, 1, (3, 2)),
        (0, 0.8, (0, 0)),
        (20, 1.3, (5.5, 3.2)),
    ],
)
def test_landmarks_follow_the_image(
    tracker: FaceTracker,
    astronaut: Image,
    face: TrackedFace,
    turn: float,
    scale: float,
    shift: tuple[float, float],
) -> None:
    """Half a pixel of difference would be an error in the centre of a pixel."""
    centre = tuple(float(value) for value in face.landmarks[:, :2].mean(axis=0))
    matrix = cv2.getRotationMatrix2D(centre, turn, scale)
    matrix[:, 2] += shift
    border = cv2.BORDER_REPLICATE
    moved = cv2.warpAffine(astronaut, matrix, (512, 512), flags=cv2.INTER_CUBIC, borderMode=border)
    again = [tracker.track(moved) for _ in range(3)][-1]
    assert again is not None
    expected = face.landmarks[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    assert np.linalg.norm(again.landmarks[:, :2] - expected, axis=1).mean() < 0.3
    # No part of it is one shift of all landmarks.
    assert np.abs((again.landmarks[:, :2] - expected).mean(axis=0)).max() < 0.2


def test_large_image_is_reduced_by_averaging(
    tracker: FaceTracker, astronaut: Image, face: TrackedFace
) -> None:
    large = cv2.resize(astronaut, None, fx=5, fy=5, interpolation=cv2.INTER_NEAREST)
    noise = np.random.default_rng(0).integers(-60, 61, large.shape)
    noisy = np.clip(large + noise, 0, 255).astype(np.uint8)
    again = [tracker.track(noisy) for _ in range(3)][-1]
    assert again is not None
    expected = (face.landmarks[:, :2] + 0.5) * 5 - 0.5
    assert np.linalg.norm(again.landmarks[:, :2] - expected, axis=1).mean() < 5 * 0.3


@pytest.mark.parametrize("side", [80, 150])
def test_small_face_is_in_a_tile(tracker: FaceTracker, astronaut: Image, side: int) -> None:
    canvas = np.full((1080, 1920, 3), 90, np.uint8)
    small = cv2.resize(astronaut[:256, 100:356], (side, side), interpolation=cv2.INTER_AREA)
    canvas[600 : 600 + side, 1400 : 1400 + side] = small
    with FaceTracker(tile_search=False) as fast:
        assert fast.track(canvas) is None
    small_face = tracker.track(canvas)
    assert small_face is not None
    eye = (np.array([203, 101]) - (100, 0)) * side / 256 + (1400, 600)
    assert np.linalg.norm(small_face.landmarks[468, :2] - eye) < 3
    assert len(tracker.find_all(canvas)) == 1


def test_tiles_are_searched_when_the_face_is_lost_only(
    astronaut: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    searches: list[int] = []

    class Recorder(FaceDetector):
        def detect(self, image: Image) -> list[FaceDetection]:
            searches.append(0)
            return super().detect(image)

        def detect_in_tiles(self, image: Image, side: int) -> list[FaceDetection]:
            searches.append(side)
            return super().detect_in_tiles(image, side)

    monkeypatch.setattr("imavatar_deploy.vision.tracker.FaceDetector", Recorder)
    tracker = FaceTracker()
    wide = np.pad(astronaut, ((0, 0), (0, 150), (0, 0)))
    black = np.zeros_like(wide)
    all_sizes, alternating = [0, 512, 256], [[0, 256], [0, 512], [0, 256]]

    def searched(image: Image) -> list[int]:
        searches.clear()
        tracker.track(image)
        return list(searches)

    assert searched(black) == all_sizes
    assert [searched(black) for _ in range(3)] == alternating
    tracker.reset()
    assert searched(wide) == [0], "found in the image as a whole"
    assert searched(wide) == [], "followed"
    assert searched(black) == all_sizes, "lost"
    assert [searched(black) for _ in range(3)] == alternating
    assert searched(wide) == [0]
    assert searched(wide) == []


def test_small_face_that_appears_is_found_soon(tracker: FaceTracker, astronaut: Image) -> None:
    canvas = np.full((1080, 1920, 3), 90, np.uint8)
    for _ in range(2):
        assert tracker.track(canvas) is None
    small = cv2.resize(astronaut[:256, 100:356], (120, 120), interpolation=cv2.INTER_AREA)
    canvas[300:420, 500:620] = small
    assert any(tracker.track(canvas) for _ in range(3))


def test_moving_face_is_followed(astronaut: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = FaceTracker()
    for step in range(20):
        moved = np.roll(astronaut, (3 * step, 9 * step), axis=(0, 1))
        tracked = tracker.track(moved)
        assert tracked is not None
        nose = (224 + 9 * step, 127 + 3 * step)
        assert np.linalg.norm(tracked.landmarks[4, :2] - nose) < 4
        if step == 0:
            monkeypatch.setattr(tracker._detector, "detect", lambda _: pytest.fail("it is lost"))


def test_two_faces_are_two(tracker: FaceTracker, astronaut: Image) -> None:
    smaller = cv2.resize(astronaut[:300, ::-1], None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    both = np.zeros((300, 820, 3), np.uint8)
    both[:, :512] = astronaut[:300]
    both[100:280, 512:819] = smaller
    faces = tracker.find_all(both)
    assert len(faces) == 2
    assert faces[0].region.side > 1.4 * faces[1].region.side
    assert faces[0].landmarks[4, 0] < 512 < faces[1].landmarks[4, 0]
    largest = tracker.track(both)
    assert largest is not None
    assert largest.landmarks[4, 0] < 512


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (64, 64), (480, 640)])
def test_no_face_in_black(tracker: FaceTracker, size: tuple[int, int]) -> None:
    assert tracker.track(np.zeros((*size, 3), np.uint8)) is None
    assert tracker.find_all(np.zeros((*size, 3), np.uint8)) == []


@pytest.mark.parametrize("name", ["chelsea", "coffee", "colorwheel", "page", "hubble_deep_field"])
def test_no_face_in_a_picture_of_something_else(tracker: FaceTracker, name: str) -> None:
    """A cat, a cup, a wheel of colours, handwriting and galaxies: the detector reports most."""
    assert tracker.find_all(photograph(name)) == []


def test_average_of_crops_shakes_less(astronaut: Image) -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 5, (16, *astronaut.shape))
    noisy = np.clip(astronaut + noise, 0, 255).astype(np.uint8)
    shake = {}
    for average in (1, 4):
        with FaceTracker(average=average) as tracker:
            faces = [tracker.track(image) for image in noisy]
        points = np.stack([face.landmarks[:, :2] for face in faces if face is not None])
        shake[average] = float(points.std(axis=0).mean())
    assert shake[4] < 0.9 * shake[1] < 0.15


@pytest.mark.parametrize(
    ("image", "problem"),
    [
        (np.zeros((4, 4), np.uint8), r"an image must be an array \[H, W, 3\].*convert a grey one"),
        (np.zeros((4, 4, 4), np.uint8), "drop an alpha channel"),
        (np.zeros((4, 4, 3), np.float32), "must be uint8 in 0..255, got float32"),
        (np.zeros((0, 4, 3), np.uint8), "must have pixels"),
        (None, "got NoneType"),
    ],
)
def test_what_is_no_image(tracker: FaceTracker, image: object, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        tracker.track(image)


def test_number_of_crops_is_checked() -> None:
    with pytest.raises(UsageError, match="average must be 1 to 4, got 0"):
        FaceTracker(average=0)


def test_missing_onnxruntime_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'imavatar-deploy\[cpu\]'"):
        FaceTracker()
