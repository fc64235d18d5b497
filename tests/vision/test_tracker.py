"""The face tracker on photographs: faces of any place, size and roll, and images without one."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from imavatar_deploy.arrays import Array, UInt8
from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.vision import LANDMARKS, FaceTracker

pytest.importorskip("onnxruntime", reason="needs pip install '.[cpu]'")
data = pytest.importorskip("skimage.data", reason="needs pip install '.[dev]': its photograph")

Image = UInt8[Array, "H W 3"]


@pytest.fixture(scope="module")
def astronaut() -> Image:
    return np.ascontiguousarray(data.astronaut())


@pytest.fixture(scope="module")
def tracker() -> FaceTracker:
    return FaceTracker()


def test_face_of_a_photograph(tracker: FaceTracker, astronaut: Image) -> None:
    tracker.reset()
    face = tracker.track(astronaut)
    assert face is not None
    assert face.landmarks.shape == (LANDMARKS, 3)
    assert face.landmarks.dtype == np.float32
    assert 0.9 < face.confidence <= 1
    assert face.blendshapes is None
    # Read off the photograph, enlarged four times: irises, tip of the nose, corners of the mouth.
    places = {468: (203, 101), 473: (247, 103), 4: (224, 127), 61: (203, 140), 291: (246, 140)}
    for index, place in places.items():
        assert np.linalg.norm(face.landmarks[index, :2] - place) < 4, index
    assert face.landmarks[4, 2] < face.landmarks[[234, 454], 2].min(), "the nose is nearest"


def test_small_face_is_in_a_tile(astronaut: Image) -> None:
    canvas = np.full((1080, 1920, 3), 90, np.uint8)
    small = cv2.resize(astronaut[:256, 100:356], (150, 150), interpolation=cv2.INTER_AREA)
    canvas[600:750, 1400:1550] = small
    with FaceTracker(tile_search=False) as tracker:
        assert tracker.track(canvas) is None
    with FaceTracker() as tracker:
        face = tracker.track(canvas)
    assert face is not None
    eye = (np.array([203, 101]) - (100, 0)) * 150 / 256 + (1400, 600)
    assert np.linalg.norm(face.landmarks[468, :2] - eye) < 3


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (64, 64), (480, 640)])
def test_no_face_in_black(tracker: FaceTracker, size: tuple[int, int]) -> None:
    tracker.reset()
    assert tracker.track(np.zeros((*size, 3), np.uint8)) is None
    assert tracker.find_all(np.zeros((*size, 3), np.uint8)) == []


def test_two_faces_are_two(tracker: FaceTracker, astronaut: Image) -> None:
    both = np.concatenate([astronaut[:300], astronaut[:300, ::-1]], axis=1)
    faces = tracker.find_all(both)
    assert len(faces) == 2
    assert faces[0].region.side >= faces[1].region.side


@pytest.mark.parametrize(
    ("image", "problem"),
    [
        (np.zeros((4, 4), np.uint8), r"an image must be an array \[H, W, 3\]"),
        (np.zeros((4, 4, 4), np.uint8), "drop an alpha channel"),
        (np.zeros((4, 4, 3), np.float32), "must be uint8 in 0..255, got float32"),
        (np.zeros((0, 4, 3), np.uint8), "must have pixels"),
        (None, "got NoneType"),
    ],
)
def test_what_is_no_image(tracker: FaceTracker, image: object, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        tracker.track(image)  # type: ignore[arg-type]


def test_number_of_crops_is_checked() -> None:
    with pytest.raises(UsageError, match="average must be 1 to 4, got 0"):
        FaceTracker(average=0)
