"""`window`: the head in a window of OpenCV on this machine's screen, turned with the mouse."""

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

# The display: checked first, because OpenCV ends the process where there is none

WINDOW_NAME = "imavatar"
"""OpenCV's name of the window."""

ALTERNATIVE = "or use --sink http://127.0.0.1:8080 and a browser"

DISPLAY_SECONDS = 20.0
"""Longest answer of a display, seconds; a usual one takes half a second."""

PROBE = (
    "import sys; sys.path[:] = filter(None, sys.path); "
    f"import cv2; cv2.namedWindow({WINDOW_NAME!r})"
)
"""Opens a window. The empty path goes, so that a file cv2.py in the working folder is not
imported."""


def check_windows() -> None:
    """Check that windows can be opened here.

    Raises:
        MissingDependencyError: this OpenCV has no windows, or there is no display.
    """
    if not cv2.currentUIFramework():
        raise MissingDependencyError(
            "this OpenCV was built without windows: pip uninstall opencv-python-headless, then "
            f"pip install opencv-python, {ALTERNATIVE}"
        )
    if sys.platform.startswith("linux") and not _display_answers():
        raise MissingDependencyError(
            "no window can be opened on the display "
            f"(DISPLAY is {os.environ.get('DISPLAY', '')!r}): log in to a desktop, {ALTERNATIVE}"
        )


def _display_answers() -> bool:
    """Whether a process that opens a window survives: without a display Qt ends it, and GTK may."""
    try:
        return not subprocess.run(
            [sys.executable, "-c", PROBE], capture_output=True, timeout=DISPLAY_SECONDS, check=False
        ).returncode
    except (OSError, subprocess.TimeoutExpired):
        return False


# Keys and mouse

KEYS_HELP = "drag: turn, {zoom}: zoom, space: pause, r: front, c: calibrate, q: end"

DRAG_ANGLE = np.pi
"""Angle of a drag over the whole width, radians."""

ZOOM_FACTOR = 1.1
"""Zoom factor of one key, and of one notch of the wheel."""

QT = "QT"
"""Windows of this framework use the wheel for a magnifier of their own, which cannot be
disabled."""


def _pause(controls: Controls) -> None:
    controls.paused = not controls.paused


def _calibrate(controls: Controls) -> None:
    controls.recalibrate = True


def _stop(controls: Controls) -> None:
    controls.stopped = True


def _nearer(controls: Controls) -> None:
    controls.zoom_by(ZOOM_FACTOR)


def _farther(controls: Controls) -> None:
    controls.zoom_by(1 / ZOOM_FACTOR)


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
    """An open window. Use it from the main thread only."""

    def __init__(self, stream: Stream) -> None:
        self._controls = stream.controls
        self._width = stream.width
        self._background = chequered(stream)
        self._dragged_from: tuple[int, int] | None = None
        self._was_visible = False
        self.count = 0
        """Frames shown."""
        cv2.namedWindow(
            WINDOW_NAME, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL
        )
        cv2.resizeWindow(WINDOW_NAME, stream.width, stream.height)
        cv2.setWindowTitle(WINDOW_NAME, f"{WINDOW_NAME} - {help_here()}")
        cv2.setMouseCallback(WINDOW_NAME, self.mouse)

    def write(self, image: Image) -> None:
        """Show an image and process keys and mouse; a window once closed stays closed."""
        if self._controls.stopped:
            return
        cv2.imshow(WINDOW_NAME, cv2.cvtColor(over(image, self._background), cv2.COLOR_RGB2BGR))
        self.count += 1
        self.key(cv2.pollKey())
        visible = _is_visible()
        if self._was_visible and not visible:  # some frameworks never report a window as visible
            self._controls.stopped = True
        self._was_visible |= visible

    def key(self, code: int) -> None:
        """Process a key; -1 is none."""
        if (action := KEYS.get(chr(code & 0xFF).lower())) is not None:
            action(self._controls)

    def mouse(self, event: int, x: int, y: int, flags: int, _: object) -> None:
        """Process the mouse: a drag turns the head with the pointer; the wheel zooms."""
        if event == cv2.EVENT_MOUSEWHEEL and not _has_own_wheel():
            (_nearer if flags > 0 else _farther)(self._controls)
        elif event == cv2.EVENT_LBUTTONUP:
            self._dragged_from = None
        elif event == cv2.EVENT_LBUTTONDOWN:
            self._dragged_from = x, y
        elif event == cv2.EVENT_MOUSEMOVE and self._dragged_from is not None:
            (left, top), self._dragged_from = self._dragged_from, (x, y)
            self._controls.orbit(
                (left - x) * DRAG_ANGLE / self._width, (y - top) * DRAG_ANGLE / self._width
            )

    def close(self) -> None:
        """Close the window, unless the user has."""
        with suppress(cv2.error):
            cv2.destroyWindow(WINDOW_NAME)
            cv2.pollKey()


def help_here() -> str:
    """The functions of keys and mouse in one line."""
    return KEYS_HELP.format(zoom="+ -" if _has_own_wheel() else "wheel or + -")


def _has_own_wheel() -> bool:
    return str(cv2.currentUIFramework()).startswith(QT)


def _is_visible() -> bool:
    try:
        return bool(cv2.getWindowProperty(WINDOW_NAME, cv2.WND_PROP_VISIBLE) >= 1)
    except cv2.error:
        return False


@contextmanager
def _open(target: str, stream: Stream) -> Iterator[Sink]:
    check_windows()
    window = Window(stream)
    try:
        yield Sink(
            window.write,
            report=lambda: f"window: {window.count} frames shown",
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
