"""The window: keys and mouse with a stand-in for highgui; a real one where there is a display."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest

from imavatar_deploy.errors import MissingDependencyError
from imavatar_deploy.runtime.sinks import Stream, open_sink, window
from imavatar_deploy.runtime.sinks.sink import Controls

TRANSPARENT = np.zeros((60, 100, 4), dtype=np.uint8)


class Screen:
    """Stand-in for highgui: records images, and replays keys and mouse events of the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, framework: str) -> None:
        self.framework = framework
        self.keys: list[int] = []
        self.visible = 1.0
        self.images: list[np.ndarray] = []
        self.title = self.mouse = self.destroyed = None
        for name in ("namedWindow", "resizeWindow"):
            monkeypatch.setattr(cv2, name, lambda *_: None)
        monkeypatch.setattr(cv2, "setWindowTitle", lambda _, title: setattr(self, "title", title))
        monkeypatch.setattr(
            cv2, "setMouseCallback", lambda _, callback: setattr(self, "mouse", callback)
        )
        monkeypatch.setattr(cv2, "imshow", lambda _, image: self.images.append(image))
        monkeypatch.setattr(cv2, "pollKey", lambda: self.keys.pop(0) if self.keys else -1)
        monkeypatch.setattr(cv2, "getWindowProperty", lambda *_: self.visible)
        monkeypatch.setattr(cv2, "destroyWindow", lambda name: setattr(self, "destroyed", name))
        monkeypatch.setattr(cv2, "currentUIFramework", lambda: self.framework)
        monkeypatch.setattr(window, "_display_answers", lambda: True)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    return Screen(monkeypatch, "GTK3")


@pytest.fixture
def controls() -> Controls:
    return Controls()


@pytest.fixture
def sink(screen: Screen, controls: Controls) -> Iterator[Any]:
    with open_sink("window", Stream(100, 60, 25.0, controls)) as sink:
        yield sink


def test_it_shows_the_frame_in_opencvs_order_of_channels(sink: Any, screen: Screen) -> None:
    image = TRANSPARENT.copy()
    image[20:, :] = (200, 40, 90, 255)
    sink.write(image)
    (image,) = screen.images
    np.testing.assert_array_equal(image[30, 30], (90, 40, 200))
    np.testing.assert_array_equal(image[:20], window.chequered(Stream(100, 60, 25.0))[:20])


def test_the_keys_are_listed(sink: Any, screen: Screen) -> None:
    for line in (screen.title, sink.greeting):
        assert (
            "drag: turn, wheel or + -: zoom, space: pause, r: front, c: calibrate, q: end" in line
        )


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (" ", Controls(paused=True)),
        ("  ", Controls()),
        ("c", Controls(recalibrate=True)),
        ("C", Controls(recalibrate=True)),
        ("+", Controls(zoom=1.1)),
        ("=-", Controls()),
        ("q", Controls(stopped=True)),
        ("\x1b", Controls(stopped=True)),
        ("+r", Controls()),
        ("x", Controls()),
    ],
)
def test_keys(keys: str, expected: Controls, sink: Any, screen: Screen, controls: Controls) -> None:
    screen.keys = [ord(key) for key in keys]
    for _ in range(len(keys) + 1):
        sink.write(TRANSPARENT)
    assert controls.zoom == pytest.approx(expected.zoom)
    controls.zoom = expected.zoom
    assert controls == expected


def test_a_drag_turns_the_head_with_the_mouse(
    screen: Screen, sink: Any, controls: Controls
) -> None:
    screen.mouse(cv2.EVENT_MOUSEMOVE, 10, 10, 0, None)
    assert (controls.yaw, controls.pitch) == (0.0, 0.0), "no button is held"
    screen.mouse(cv2.EVENT_LBUTTONDOWN, 20, 30, 0, None)
    screen.mouse(cv2.EVENT_MOUSEMOVE, 45, 30, cv2.EVENT_FLAG_LBUTTON, None)
    screen.mouse(cv2.EVENT_MOUSEMOVE, 45, 40, cv2.EVENT_FLAG_LBUTTON, None)
    assert controls.yaw == pytest.approx(-np.pi / 4), "to the right, so the camera goes to the left"
    assert controls.pitch == pytest.approx(np.pi / 10), "down, so the camera goes up"
    screen.mouse(cv2.EVENT_LBUTTONUP, 45, 40, 0, None)
    screen.mouse(cv2.EVENT_MOUSEMOVE, 90, 50, 0, None)
    assert controls.yaw == pytest.approx(-np.pi / 4), "the button was let go"


@pytest.mark.parametrize(
    ("framework", "zoom"), [("GTK3", 1.1), ("WIN32UI", 1.1), ("QT", 1.0), ("QT5", 1.0)]
)
def test_the_wheel_is_qts_own(
    framework: str, zoom: float, screen: Screen, sink: Any, controls: Controls
) -> None:
    screen.framework = framework
    screen.mouse(cv2.EVENT_MOUSEWHEEL, 5, 5, 120 << 16, None)
    assert controls.zoom == pytest.approx(zoom)
    screen.mouse(cv2.EVENT_MOUSEWHEEL, 5, 5, -120 << 16, None)
    assert controls.zoom == pytest.approx(1.0)
    assert ("wheel" in window.help_here()) == (zoom > 1)


def test_closing_the_window_ends_the_run_and_it_stays_closed(
    sink: Any, screen: Screen, controls: Controls
) -> None:
    sink.write(TRANSPARENT)
    assert not controls.stopped
    screen.visible = 0.0
    sink.write(TRANSPARENT)
    assert controls.stopped
    sink.write(TRANSPARENT)
    assert len(screen.images) == 2
    assert sink.report() == "window: 2 frames shown"


def test_a_framework_that_never_reports_visible_does_not_end_the_run(
    sink: Any, screen: Screen, controls: Controls
) -> None:
    screen.visible = -1.0
    for _ in range(3):
        sink.write(TRANSPARENT)
    assert not controls.stopped


def test_a_failed_run_takes_its_window_away(screen: Screen) -> None:
    with pytest.raises(RuntimeError), open_sink("window", Stream(100, 60, 25.0)):
        raise RuntimeError
    assert screen.destroyed == window.WINDOW_NAME


def test_opencv_without_windows_is_reported_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cv2, "currentUIFramework", lambda: "")
    with (
        pytest.raises(
            MissingDependencyError,
            match=r"pip uninstall opencv-python-headless.*opencv-python.*http://",
        ),
        open_sink("window", Stream(100, 60, 25.0)),
    ):
        pytest.fail("it opened")


def test_no_display_is_reported_before_qt_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "currentUIFramework", lambda: "QT")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("DISPLAY", ":no-such-display")
    monkeypatch.setattr(window, "PROBE", "import os; os.abort()")
    with pytest.raises(
        MissingDependencyError, match=r"':no-such-display'.*http://127\.0\.0\.1:8080"
    ):
        window.check_windows()
    monkeypatch.setattr(window, "PROBE", "")
    window.check_windows()


def test_a_real_window() -> None:
    try:
        window.check_windows()
    except MissingDependencyError as error:
        pytest.skip(str(error))
    controls = Controls()
    with open_sink("window", Stream(100, 60, 25.0, controls)) as sink:
        for _ in range(5):
            sink.write(TRANSPARENT)
        assert cv2.getWindowProperty(window.WINDOW_NAME, cv2.WND_PROP_VISIBLE) >= 1
    assert not controls.stopped
    assert sink.report() == "window: 5 frames shown"
