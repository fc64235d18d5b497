"""The virtual camera, with a stand-in for pyvirtualcam."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from imavatar_deploy.errors import MissingDependencyError
from imavatar_deploy.runtime.sinks import Stream, open_sink

STREAM = Stream(width=48, height=32, fps=24.0)
IMAGE = np.zeros((32, 48, 4), dtype=np.uint8)


class Camera:
    """Stand-in for `pyvirtualcam.Camera`, without its wait for the next frame."""

    opened: Camera

    def __init__(
        self, width: int, height: int, fps: float, *, fmt: Any, device: str | None
    ) -> None:
        if device == "gone":
            raise RuntimeError("'v4l2loopback' backend: no such device\n'obs' backend: neither")
        self.arguments = (width, height, fps, fmt, device)
        self.device = device or "/dev/video7"
        self.sent: list[np.ndarray] = []
        self.closed = False
        Camera.opened = self

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True

    def send(self, frame: np.ndarray) -> None:
        if len(self.sent) == 3:
            raise RuntimeError("error writing frame")
        self.sent.append(frame)


@pytest.fixture(autouse=True)
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = SimpleNamespace(Camera=Camera, PixelFormat=SimpleNamespace(RGB="rgb"))
    monkeypatch.setitem(sys.modules, "pyvirtualcam", stand_in)


@pytest.mark.parametrize(
    ("target", "device"), [("virtualcam", None), ("virtualcam:/dev/video2", "/dev/video2")]
)
def test_frames_are_sent_over_white(target: str, device: str | None) -> None:
    image = IMAGE.copy()
    image[:10] = (200, 40, 90, 255)
    with open_sink(target, STREAM) as sink:
        sink.write(image)
        assert Camera.opened.device in sink.greeting
    assert Camera.opened.closed
    assert Camera.opened.arguments == (48, 32, 24.0, "rgb", device)
    (frame,) = Camera.opened.sent
    assert (frame.shape, frame.dtype) == ((32, 48, 3), np.uint8)
    assert (frame[:10] == (200, 40, 90)).all()
    assert (frame[10:] == 255).all()
    assert sink.report() == "virtual camera: 1 frames sent"


def test_a_missing_device_names_what_to_install() -> None:
    with (
        pytest.raises(
            MissingDependencyError,
            match=r"'v4l2loopback' backend: no such device 'obs' .*OBS Studio",
        ),
        open_sink("virtualcam:gone", STREAM),
    ):
        pytest.fail("it opened")


def test_a_device_that_goes_away_is_reported() -> None:
    with (
        pytest.raises(MissingDependencyError, match="error writing frame"),
        open_sink("virtualcam", STREAM) as sink,
    ):
        for _ in range(4):
            sink.write(IMAGE)
    assert Camera.opened.closed


def test_a_missing_library_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with (
        pytest.raises(MissingDependencyError, match=r"imavatar-deploy\[live\]"),
        open_sink("virtualcam", STREAM),
    ):
        pytest.fail("it opened")


def test_the_real_library_without_such_a_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pyvirtualcam")
    pytest.importorskip("pyvirtualcam", reason="the extra live is not installed")
    with (
        pytest.raises(MissingDependencyError, match="no virtual camera could be opened"),
        open_sink("virtualcam:no-such-camera", STREAM),
    ):
        pytest.fail("it opened")
