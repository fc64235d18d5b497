"""The frames of the fidelity report, drawn by the viewer in a browser."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, UInt8
from imavatar_deploy.errors import excerpt
from imavatar_deploy.fidelity.reference_frames import NORMAL_LEVELS, ReferenceFrames
from imavatar_deploy.fidelity.stage_metrics import FrameImages, frame_images

from .chromium import BrowserError, Page, chromium, find_chromium

HAS_WEBGL = "!!document.createElement('canvas').getContext('webgl2')"

NO_BROWSER = "no Chromium or Chrome on this machine"

READY = """
new Promise((done, fail) => {
  const head = document.querySelector("imavatar-head");
  if (head.avatar) done();
  head.addEventListener("load", () => done());
  head.addEventListener("error", (event) => fail(new Error(event.detail)));
  const text = head.shadowRoot?.querySelector("[role=alert]")?.textContent;
  if (text) fail(new Error(text));
})
"""
"""Waits until the avatar of the page is loaded."""

PIXELS = """
(({expression, pose, matrix, size, normals}) => {
  const head = document.querySelector("imavatar-head");
  const bytes = head.pixels(expression, pose, matrix, size, size, normals);
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192)
    text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
})
"""
"""Draws one frame aside and returns its bytes in base64."""


class _QuietHandler(SimpleHTTPRequestHandler):
    """Serves a folder without a line for every request."""

    extensions_map = SimpleHTTPRequestHandler.extensions_map | {".js": "text/javascript"}

    def log_message(self, format: str, *arguments: Any) -> None:
        """Write nothing."""


class _QuietServer(ThreadingHTTPServer):
    """A server that does not report a connection which the browser has closed."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Write nothing: what the page could not load, the page reports."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on the loopback interface; yields its address, with a slash at the end."""
    handler = partial(_QuietHandler, directory=str(folder))
    with _QuietServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def opened(folder: Path, *flags: str) -> Iterator[Page]:
    """Open the page of a web folder in a browser, with its avatar loaded.

    Args:
        folder: with the page.
        flags: of the browser, besides those of `chromium`.

    Raises:
        BrowserError: there is no browser, or the page reports an error.
    """
    program = find_chromium()
    if program is None:
        raise BrowserError(f"the page cannot be opened: there is {NO_BROWSER}")
    with served(folder) as address, chromium(program, *flags) as browser:
        page = browser.page()
        page.open(f"{address}index.html")
        page.evaluate(
            "new Promise(done => document.readyState === 'complete' ? done() : "
            "addEventListener('load', () => done()))"
        )
        page.evaluate(READY)
        yield page


def browser_obstacle() -> str:
    """Return why no browser on this machine can draw the page; empty where one can."""
    program = find_chromium()
    if program is None:
        return NO_BROWSER
    try:
        with chromium(program) as browser:
            return "" if browser.page().evaluate(HAS_WEBGL) else "the browser has no WebGL 2"
    except BrowserError as error:
        return excerpt(error)


def draw_in_browser(folder: Path, reference: ReferenceFrames) -> list[FrameImages]:
    """Draw the reference frames by the viewer in a web folder.

    Raises:
        BrowserError: the browser fails, or the page has logged an error.
    """
    with opened(folder) as page:
        frames = [
            frame_images(*_images(page, expression, pose, matrix, reference.size))
            for expression, pose, matrix in zip(
                reference.expression, reference.pose, reference.image_matrix, strict=True
            )
        ]
        if errors := page.errors():
            raise BrowserError(f"the page reports an error: {errors[0]}")
    return frames


def _images(page: Page, expression: Any, pose: Any, matrix: Any, size: int) -> tuple[Any, Any, Any]:
    """Colours, normals and mask of one frame."""
    request: dict[str, Any] = {
        "expression": expression.tolist(),
        "pose": pose.tolist(),
        "matrix": matrix.ravel().tolist(),
        "size": size,
    }
    colours, normals = (
        _pixels(page, {**request, "normals": normals}, size) for normals in (False, True)
    )
    normal = (normals[..., :3].astype(np.float32) - (NORMAL_LEVELS + 1)) / NORMAL_LEVELS
    return colours[..., :3] / np.float32(255), normal, colours[..., 3] > 0


def _pixels(page: Page, request: dict[str, Any], size: int) -> UInt8[Array, "N N 4"]:
    text = page.evaluate(f"{PIXELS}({json.dumps(request)})")
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(size, size, 4)
