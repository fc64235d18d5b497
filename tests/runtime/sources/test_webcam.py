"""Camera: the argument of `--source`, images of a stand-in for OpenCV's capture, and messages."""

from __future__ import annotations

import threading
from time import monotonic

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from imavatar_deploy.errors import MissingDependencyError, UsageError
from imavatar_deploy.runtime.sources import open_source, webcam


class Capture:
    """Stand-in for a camera that delivers some blue images and is then unplugged."""

    def __init__(self, count: int, fps: float = 0.0) -> None:
        self.count = count
        self.fps = fps

    def get(self, _: int) -> float:
        return self.fps

    def read(self) -> tuple[bool, NDArray[np.uint8] | None]:
        self.count -= 1
        if self.count < 0:
            return False, None
        return True, np.full((4, 6, 3), (255, 0, 0), np.uint8)  # BGR


def test_images_are_rgb_and_timed_by_this_machines_clock() -> None:
    before = monotonic()
    images = webcam.camera_images(Capture(2))(threading.Event())
    for _ in range(2):
        picture, time = next(images)
        assert before <= time <= monotonic()
        np.testing.assert_array_equal(picture[0, 0], (0, 0, 255))
    with pytest.raises(MissingDependencyError, match="delivers no more images"):
        next(images)


def test_stopping_ends_the_images() -> None:
    stopped = threading.Event()
    stopped.set()
    assert list(webcam.camera_images(Capture(2))(stopped)) == []


@pytest.mark.parametrize(("reported", "fps"), [(0.0, 30.0), (float("nan"), 30.0), (60.0, 60.0)])
def test_rate(reported: float, fps: float) -> None:
    assert webcam.rate(Capture(0, reported)) == fps


@pytest.mark.parametrize(
    ("target", "camera", "focal"),
    [
        ("webcam:0", 0, None),
        ("webcam:12?focal=900", 12, 900.0),
        ("webcam:/dev/video2", "/dev/video2", None),
        ("webcam:/dev/v4l/by-id/cam?focal=812.5", "/dev/v4l/by-id/cam", 812.5),
    ],
)
def test_target(target: str, camera: int | str, focal: float | None) -> None:
    assert webcam.read_target(target) == (camera, focal)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("webcam:", "as in webcam:0, got 'webcam:'"),
        ("webcam:?focal=900", "as in webcam:0, got"),
        ("webcam:0?model=face_landmarker.task", "write webcam:0 in place of"),
        ("webcam:clip.mp4?model=face_landmarker.task", "write video:clip.mp4 in place of"),
        ("webcam:clip.mp4", "given as video:clip.mp4"),
        ("webcam:20261125", "given as video:20261125"),
        ("webcam:0?fps=3", r"as in \?focal=900"),
        ("webcam:0?focal=", r"as in \?focal=900"),
        ("webcam:0?focal=0.9", "50 to 100000"),
        ("webcam:0?focal=nan", "50 to 100000"),
    ],
)
def test_other_targets_are_one_sentence(target: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as refusal, open_source(target):
        pytest.fail("it opened")
    assert len(str(refusal.value).splitlines()) == 1


@pytest.mark.parametrize("camera", [99, "/dev/no_camera"])
def test_a_camera_that_is_not_there_is_one_sentence(
    camera: int | str, capfd: pytest.CaptureFixture[str]
) -> None:
    level = cv2.utils.logging.getLogLevel()
    with pytest.raises(MissingDependencyError, match=f"camera {camera} cannot be opened"):
        webcam.open_capture(camera).__enter__()
    assert capfd.readouterr() == ("", "")
    assert cv2.utils.logging.getLogLevel() == level
