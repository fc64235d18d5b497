"""The webcam: MediaPipe's categories as ARKit weights, a real clip, messages for missing parts.

There is no model file here: a stand-in for it reads the images of a clip that OpenCV wrote.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from imavatar_deploy.errors import InputError, MissingDependencyError, UsageError
from imavatar_deploy.retarget.arkit import ARKIT, ARKIT_NAMES
from imavatar_deploy.runtime.sources import LiveSource, open_source, webcam
from imavatar_deploy.runtime.sources.face_landmarker import (
    detector_of,
    observation_of,
    open_landmarker,
)
from imavatar_deploy.runtime.sources.observation import Inbox

from .situations import NOSE_AND_CROWN, assert_head

COUNT, FPS = 8, 100.0

MEDIAPIPE_NAMES = ("_neutral", *sorted(set(ARKIT_NAMES) - {"tongueOut"}))


def categories(**scores: float) -> list[SimpleNamespace]:
    return [
        SimpleNamespace(
            index=index, score=scores.get(name, 0.0), category_name=name, display_name=None
        )
        for index, name in enumerate(MEDIAPIPE_NAMES)
    ]


def head(situation: str) -> NDArray[np.float64]:
    """MediaPipe's matrix, centimetres, of a face in such a position."""
    nose, crown = (np.array(vector) for vector in NOSE_AND_CROWN[situation])
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([np.cross(crown, nose), crown, nose], axis=1)
    matrix[:3, 3] = 1.5, 2.0, -45.0
    return matrix


class StandIn:
    """Stand-in that finds a face in every bright image; its jaw opens with the image's red."""

    def __init__(self) -> None:
        self.times: list[int] = []

    def detect_for_video(self, image: NDArray[np.uint8], milliseconds: int) -> SimpleNamespace:
        assert image.flags.c_contiguous
        self.times.append(milliseconds)
        red, _, blue = image.mean(axis=(0, 1)) / 255
        faces = 1 if red + blue > 0.3 else 0
        return SimpleNamespace(
            face_blendshapes=[categories(jawOpen=red, mouthLeft=blue)] * faces,
            facial_transformation_matrixes=[head("straight")] * faces,
        )


@pytest.fixture
def clip(tmp_path: Path) -> str:
    """A clip: dark first, then from red to blue."""
    path = str(tmp_path / "clip.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"MJPG"), FPS, (64, 48))
    for index in range(COUNT):
        blue = 255 * index // (COUNT - 1)
        writer.write(
            np.full((48, 64, 3), (blue, 0, 255 - blue) if index else (0, 0, 0), dtype=np.uint8)
        )
    writer.release()
    return path


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """The stand-in in place of MediaPipe."""
    landmarker = StandIn()

    @contextmanager
    def opened(model: str) -> Iterator[Any]:
        yield detector_of(landmarker, lambda rgb: rgb)

    monkeypatch.setattr(webcam, "open_landmarker", opened)
    return landmarker


@pytest.mark.parametrize("situation", NOSE_AND_CROWN)
def test_head(situation: str) -> None:
    assert_head(observation_of(categories(), head(situation), 1.0), situation)


def test_shapes_by_name_and_no_tongue() -> None:
    scores = {name: place / 60 for place, name in enumerate(ARKIT_NAMES)}
    observation = observation_of(categories(**scores), head("straight"), 2.5)
    np.testing.assert_allclose(observation.weights, [*np.arange(51) / 60, 0], atol=1e-6)
    assert (observation.vocabulary, observation.time) == (ARKIT, 2.5)
    assert not observation.pose[3:].any(), "MediaPipe says nothing of the eyes' turns"


def test_scale_is_no_rotation() -> None:
    matrix = head("chin down by 20")
    matrix[:3, :3] *= 1.02
    assert_head(observation_of(categories(), matrix, None), "chin down by 20")


def test_mediapipes_own_expected_matrix() -> None:
    """The portrait of MediaPipe's unit test is nearly straight."""
    rotation = [[0.9995292, -0.01294756, 0.038823195], [0.0072318087, 0.9937692, -0.1101321]]
    matrix = np.eye(4)
    matrix[:3, :3] = [*rotation, [-0.03715533, 0.11070588, 0.99315894]]
    observation = observation_of(categories(), matrix, None)
    assert Rotation.from_rotvec(observation.pose[:3]).magnitude() == pytest.approx(
        np.radians(6.7), abs=0.01
    )


@pytest.mark.parametrize("broken", ["nan", "shape", "none", "names"])
def test_broken_results_are_refused(broken: str) -> None:
    matrix = head("straight")
    shapes = categories()
    if broken == "nan":
        matrix[1, 1] = np.nan
    elif broken == "shape":
        matrix = matrix[:3]
    elif broken == "none":
        shapes[3].score = None
    else:
        shapes = shapes[:1]
    with pytest.raises(InputError):
        observation_of(shapes, matrix, None)


def test_a_clip_is_watched_to_its_end(clip: str, stand_in: StandIn) -> None:
    with open_source(f"webcam:{clip}?model=my.task") as source:
        assert isinstance(source, LiveSource)
        assert (source.fps, source.vocabulary, source.listening) == (FPS, ARKIT, clip)
        assert source.inbox.ended.wait(10)  # a deadline: the clip is 0.08 s long
        assert source.inbox.error is None
        arrivals = source.inbox.take()
    assert source.inbox.counts == {"received": COUNT - 1, "empty": 1, "overflowed": 0}
    times = [arrival.observation.time for arrival in arrivals]
    np.testing.assert_allclose(np.array(times, dtype=float), np.arange(1, COUNT) / FPS)
    jaws = [arrival.observation.weights[ARKIT_NAMES.index("jawOpen")] for arrival in arrivals]
    assert jaws[0] > 0.7, "red is red: OpenCV's BGR was turned"
    assert jaws == sorted(jaws, reverse=True)


def test_closing_ends_the_thread(clip: str, stand_in: StandIn) -> None:
    before = threading.active_count()
    with open_source(f"webcam:{clip}?model=my.task"):
        pass
    assert threading.active_count() == before


def test_times_only_grow(stand_in: StandIn) -> None:
    detect = detector_of(stand_in, lambda rgb: rgb)
    for time in (1.0, 1.0, 0.5, 2.0):
        detect(np.zeros((4, 4, 3), np.uint8), time)
    assert stand_in.times == [1000, 1001, 1002, 2000]


def test_what_goes_wrong_in_the_thread_is_told() -> None:
    class Unplugged:
        def get(self, _: int) -> float:
            return 0.0

        def read(self) -> tuple[bool, None]:
            return False, None

    inbox = Inbox()
    webcam.watch(Unplugged(), False, lambda picture, time: None, inbox, threading.Event())
    assert inbox.ended.is_set()
    assert isinstance(inbox.error, MissingDependencyError)


@pytest.mark.parametrize(
    ("target", "camera", "model"),
    [
        ("webcam:0?model=a.task", 0, "a.task"),
        ("webcam:clip.mp4", "clip.mp4", "named.task"),
        ("webcam:20261125", "20261125", "named.task"),
    ],
)
def test_target(
    target: str, camera: int | str, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(webcam.MODEL_VARIABLE, "named.task")
    assert webcam.read_target(target) == (camera, model)


@pytest.mark.parametrize(
    "target", ["webcam:0", "webcam:0?model=", "webcam:", "webcam:?model=a.task", "webcam:0?fps=3"]
)
def test_a_target_without_model_or_camera_is_refused(
    target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(webcam.MODEL_VARIABLE, raising=False)
    with pytest.raises(UsageError, match=r"face_landmarker\.task"), open_source(target):
        pytest.fail("it opened")


def test_no_mediapipe_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with (
        pytest.raises(MissingDependencyError, match=r"imavatar-deploy\[webcam\]"),
        open_source("webcam:0?model=a.task"),
    ):
        pytest.fail("it opened")


def test_no_clip_and_no_camera_are_one_sentence(stand_in: StandIn, tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("not a video")
    for camera in (tmp_path / "nowhere.mp4", text):
        with pytest.raises(InputError, match="neither a camera's number nor a video"):
            webcam.open_capture(str(camera)).__enter__()
    with pytest.raises(MissingDependencyError, match="camera 99 cannot be opened"):
        webcam.open_capture(99).__enter__()


def test_models_that_mediapipe_cannot_read(tmp_path: Path) -> None:
    pytest.importorskip("mediapipe", reason="mediapipe is not installed: it brings another OpenCV")
    text = tmp_path / "text.task"
    text.write_text("not a model")
    for model, sentence in (
        (tmp_path / "nowhere.task", "no face model"),
        (text, "cannot be read as"),
    ):
        with pytest.raises(InputError, match=sentence):
            open_landmarker(str(model)).__enter__()
