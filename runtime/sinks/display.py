"""Display: whether a window can be opened here, found out before OpenCV ends the process because it cannot."""

from __future__ import annotations

import os
import subprocess
import sys

import cv2

from imavatar_deploy.errors import MissingDependencyError

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
