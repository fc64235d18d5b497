"""The page in Chromium: it draws the avatar from packets, and from pictures where it cannot."""

from __future__ import annotations

import base64
import json
import re
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from imavatar_deploy.exporters.formats.web import chromium as driver
from imavatar_deploy.exporters.formats.web.chromium import Page, chromium
from imavatar_deploy.exporters.formats.web.frames import browser_obstacle

from ...processes import Child, started

ELEMENT = "document.querySelector('imavatar-head')"
LIMIT = 120.0
"""Seconds of one run."""

PATIENCE = 60.0
"""Seconds for the page to reach a state, on a busy machine."""


@pytest.fixture(scope="module", autouse=True)
def _browser_here() -> None:
    if obstacle := browser_obstacle():
        pytest.skip(obstacle)


@pytest.fixture(autouse=True)
def _limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "LIMIT", 60.0)


@contextmanager
def run(
    *options: str, source: str, port: int = 0, avatar: str = "sample"
) -> Iterator[tuple[Child, str]]:
    """Run an avatar behind a page; yields the process and the address of the page."""
    code = "from imavatar_deploy.runtime.commands import imavatar_run; imavatar_run()"
    command = [sys.executable, "-c", code, avatar, "--source", source]
    command += ["--sink", f"http://127.0.0.1:{port}", "--size", "96", *options]
    with started(command, limit=LIMIT) as child:
        deadline = time.monotonic() + PATIENCE
        while not (match := re.search(r"page: (http://\S+)", child.stderr())):
            assert child.process.poll() is None, child.stderr()
            assert time.monotonic() < deadline, child.stderr()
            time.sleep(0.1)
        yield child, match[1]


@contextmanager
def sender(port: int) -> Iterator[Child]:
    """The bundled motion, sent as packets again and again."""
    code = "from imavatar_deploy.runtime.commands import imavatar_send; imavatar_send()"
    command = [sys.executable, "-c", code, "talk", "--to", f"udp://127.0.0.1:{port}", "--loop"]
    with started(command, limit=LIMIT) as child:
        yield child


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


@pytest.fixture(scope="module")
def browser() -> Iterator[driver.Browser]:
    with chromium(str(driver.find_chromium())) as opened:
        yield opened


def wait(page: Page, expression: str) -> None:
    """Wait until an expression is true."""
    page.evaluate(
        f"""new Promise((done, fail) => {{
          const end = performance.now() + {1000 * PATIENCE / 2};
          const check = () => {{
            if ({expression}) done();
            else if (performance.now() > end)
              fail(new Error({json.dumps(expression)} + ": " + document.body.innerText));
            else setTimeout(check, 50);
          }};
          check();
        }})"""
    )


def screenshot(page: Page) -> np.ndarray:
    data = base64.b64decode(str(page.send("Page.captureScreenshot", format="png")["data"]))
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image


def poses(page: Page, count: int = 8) -> np.ndarray:
    """Expression and pose at some moments, `[count, 65]`."""
    values = page.evaluate(
        f"""(async () => {{
          const rows = [];
          for (let i = 0; i < {count}; i++) {{
            const {{expression, pose}} = {ELEMENT}.flame;
            rows.push([...expression, ...pose]);
            await new Promise((done) => setTimeout(done, 150));
          }}
          return rows;
        }})()"""
    )
    return np.array(values)


def test_the_page_follows_a_sender(browser: driver.Browser, tmp_path: Path) -> None:
    port = free_udp_port()
    with sender(port), run(source=f"udp://127.0.0.1:{port}") as (_, address):
        page = browser.page()
        page.open(address)
        wait(page, f"{ELEMENT}?.live?.received > 30")
        assert np.ptp(poses(page), axis=0).max() > 0.02, "the head moves"
        counts = page.evaluate(f"{ELEMENT}.live")
        assert (counts["lost"], counts["refused"]) == (0, 0)
        assert page.evaluate("document.getElementById('mode').textContent") == (
            "drawn in this browser"
        )
        assert page.evaluate("document.getElementById('head').hidden")
        shown = [screenshot(page) for _ in range(4)]
        cv2.imwrite(str(tmp_path / "live.png"), shown[-1])
        assert max(np.abs(shown[0].astype(int) - each).max() for each in shown[1:]) > 20
        assert page.errors() == []
        page.evaluate("document.dispatchEvent(new KeyboardEvent('keydown', {key: 'm'}))")
        wait(page, "document.getElementById('head').naturalWidth === 96")
        assert page.evaluate(f"{ELEMENT} === null")
