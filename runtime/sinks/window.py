"""`window`: the head on this machine's screen, turned with the mouse; OpenCV's own windows."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import cv2
import numpy as np

from imavatar_deploy.errors import MissingDependencyError

from .backgrounds import chequered, over
from .sink import Controls, Image, Sink, SinkFormat, Stream

# Display: whether a window can be opened here, found out before OpenCV ends the process because it cannot.


NAME = "imavatar"
"""By which OpenCV knows our window."""

INSTEAD = "or use --sink http://127.0.0.1:8080 and a browser"

PATIENCE = 20.0
"""Seconds for a display to answer; a healthy one takes half of one."""

PROBE = f"import sys; sys.path[:] = filter(None, sys.path); import cv2; cv2.namedWindow({NAME!r})"
"""A file called cv2.py in the folder where a run is started is not the package."""


def check_windows() -> None:
    """See that windows can be opened here.

    Raises:
        MissingDependencyError: this OpenCV has no windows, or there is no display.
    """
    if not cv2.currentUIFramework():
        raise MissingDependencyError(
            "this OpenCV was built without windows: pip uninstall opencv-python-headless, then pip install "
            f"opencv-python, {INSTEAD}"
        )
    if sys.platform.startswith("linux") and not _display_answers():
        raise MissingDependencyError(
            f"no window can be opened on the display (DISPLAY is {os.environ.get('DISPLAY', '')!r}): log in to a "
            f"desktop, {INSTEAD}"
        )


def _display_answers() -> bool:
    """Whether a process that opens a window lives: Qt ends its process where there is no display, and GTK may."""
    try:
        return not subprocess.run(
            [sys.executable, "-c", PROBE], capture_output=True, timeout=PATIENCE, check=False
        ).returncode
    except (OSError, subprocess.TimeoutExpired):
        return False


HELP = "drag: turn, {zoom}: zoom, space: pause, r: front, c: calibrate, q: end"

TURN = np.pi
"""Radians for a drag over the whole width."""

STEP = 1.1
"""Zoom of one key, and of one notch of the wheel."""

QT = "QT"
"""Windows of this framework take the wheel for a magnifying glass of their own, and cannot be told not to."""


def _pause(controls: Controls) -> None:
    controls.paused = not controls.paused


def _calibrate(controls: Controls) -> None:
    controls.recalibrate = True


def _stop(controls: Controls) -> None:
    controls.stopped = True


def _nearer(controls: Controls) -> None:
    controls.zoom_by(STEP)


def _farther(controls: Controls) -> None:
    controls.zoom_by(1 / STEP)


ESCAPE = "\x1b"

KEYS: dict[str, Callable[[Controls], None]] = {
    " ": _pause,
    "+": _nearer,
    "=": _nearer,  # the same key without shift
    "-": _farther,
    "r": Controls.reset,
    "c": _calibrate,
    "q": _stop,
    ESCAPE: _stop,
}


class Window:
    """An open window; from the main thread alone."""

    def __init__(self, stream: Stream) -> None:
        self._controls, self._width = stream.controls, stream.width
        self._ground = chequered(stream)
        self._dragged_from: tuple[int, int] | None = None
        self._seen = False
        self.shown = 0
        cv2.namedWindow(NAME, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        cv2.resizeWindow(NAME, stream.width, stream.height)
        cv2.setWindowTitle(NAME, f"{NAME} - {help_here()}")
        cv2.setMouseCallback(NAME, self.mouse)

    def write(self, image: Image) -> None:
        """Show an image and obey the keys and the mouse; a window once closed stays closed."""
        if self._controls.stopped:
            return
        cv2.imshow(NAME, cv2.cvtColor(over(image, self._ground), cv2.COLOR_RGB2BGR))
        self.shown += 1
        self.key(cv2.pollKey())
        visible = _is_visible()
        if (
            self._seen and not visible
        ):  # a window that never said it was visible cannot say that it was closed
            self._controls.stopped = True
        self._seen |= visible

    def key(self, code: int) -> None:
        """Obey a key; -1 is none."""
        if (order := KEYS.get(chr(code & 0xFF).lower())) is not None:
            order(self._controls)

    def mouse(self, event: int, x: int, y: int, flags: int, _: object) -> None:
        """A drag turns the head as if it were held where the mouse is; the wheel zooms."""
        if event == cv2.EVENT_MOUSEWHEEL and not _has_own_wheel():
            (_nearer if flags > 0 else _farther)(self._controls)
        elif event == cv2.EVENT_LBUTTONUP:
            self._dragged_from = None
        elif event == cv2.EVENT_LBUTTONDOWN:
            self._dragged_from = x, y
        elif event == cv2.EVENT_MOUSEMOVE and self._dragged_from is not None:
            (left, top), self._dragged_from = self._dragged_from, (x, y)
            self._controls.orbit((left - x) * TURN / self._width, (y - top) * TURN / self._width)

    def close(self) -> None:
        """Take it from the screen, if its user has not."""
        with suppress(cv2.error):
            cv2.destroyWindow(NAME)
            cv2.pollKey()


def help_here() -> str:
    """What the keys and the mouse do, in one line."""
    return HELP.format(zoom="+ -" if _has_own_wheel() else "wheel or + -")


def _has_own_wheel() -> bool:
    return str(cv2.currentUIFramework()).startswith(QT)


def _is_visible() -> bool:
    try:
        return bool(cv2.getWindowProperty(NAME, cv2.WND_PROP_VISIBLE) >= 1)
    except cv2.error:
        return False


@contextmanager
def _open(target: str, stream: Stream) -> Iterator[Sink]:
    check_windows()
    window = Window(stream)
    try:
        yield Sink(
            window.write,
            report=lambda: f"window: {window.shown} frames shown",
            greeting=f"window: {help_here()}",
        )
    finally:
        window.close()


FORMAT = SinkFormat(
    name="window",
    pattern="window",
    description="a window on this screen; needs opencv-python instead of opencv-python-headless",
    matches=lambda target: target == "window",
    open=_open,
    watched=True,
    main_thread=True,
)
