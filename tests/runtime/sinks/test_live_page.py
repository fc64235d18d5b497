"""The page in Chromium: it draws the avatar from packets, and from pictures where it cannot."""

from __future__ import annotations

import base64
import json
import re
import socket
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from aiohttp import web

from imavatar_deploy.avatar_io import AvatarFolder, open_avatar
from imavatar_deploy.camera import Camera, orbited
from imavatar_deploy.exporters.formats.web import chromium as driver
from imavatar_deploy.exporters.formats.web.chromium import Browser, BrowserError, Page, chromium
from imavatar_deploy.exporters.formats.web.format import write_page
from imavatar_deploy.exporters.formats.web.frames import browser_obstacle, served
from imavatar_deploy.rendering.posing import resting_camera
from imavatar_deploy.runtime.sinks import Sink, Stream, open_sink
from imavatar_deploy.runtime.sinks.http.browser_avatar import BrowserAvatar
from imavatar_deploy.runtime.sinks.http.requests import FOLLOW, PAGES
from imavatar_deploy.tracks import read_track, write_track

from ...processes import Child, started
from ...web_scripts import HEAD

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
def browser() -> Iterator[Browser]:
    with chromium(str(driver.find_chromium())) as opened:
        yield opened


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An empty page, closed at the end; what others have logged is forgotten."""
    browser.errors.clear()
    page = browser.page()
    yield page
    page.send("Page.close")


def wait(page: Page, expression: str) -> None:
    """Wait until an expression is true; while the page loads, it has no value."""
    deadline = time.monotonic() + PATIENCE
    shown = ""
    while time.monotonic() < deadline:
        with suppress(BrowserError):
            if page.evaluate(f"Boolean({expression})"):
                return
            shown = str(page.evaluate("document.body.innerText"))
        time.sleep(0.05)
    raise AssertionError(f"{expression} is not reached; the page shows: {shown}")


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
            const {{expression, pose}} = {HEAD}.flame;
            rows.push([...expression, ...pose]);
            await new Promise((done) => setTimeout(done, 150));
          }}
          return rows;
        }})()"""
    )
    return np.array(values)


def test_the_page_follows_a_sender(page: Page, tmp_path: Path) -> None:
    port = free_udp_port()
    with sender(port), run(source=f"udp://127.0.0.1:{port}") as (_, address):
        page.open(address)
        wait(page, f"{HEAD}?.live?.received > 30")
        assert np.ptp(poses(page), axis=0).max() > 0.02, "the head moves"
        counts = page.evaluate(f"{HEAD}.live")
        assert (counts["lost"], counts["refused"]) == (0, 0)
        assert page.evaluate("document.getElementById('mode').textContent") == (
            "drawn in this browser"
        )
        assert page.evaluate("document.getElementById('head').hidden")
        shown = [screenshot(page) for _ in range(4)]
        cv2.imwrite(str(tmp_path / "live.png"), shown[-1])
        assert max(np.abs(shown[0].astype(int) - each).max() for each in shown[1:]) > 20
        assert page.errors() == []
        assert not draws(address), "the pictures that the page showed at first have ended"
        page.evaluate("document.dispatchEvent(new KeyboardEvent('keydown', {key: 'm'}))")
        wait(page, "document.getElementById('head').naturalWidth === 96")
        assert page.evaluate(f"{HEAD} === null")
        assert draws(address)


def draws(address: str) -> bool:
    """Whether a run draws while it sends 20 frames."""
    first = last = figures(address)
    while last["sent"] < first["sent"] + 20:
        time.sleep(0.1)
        last = figures(address)
    return bool(last["drawn"] > first["drawn"])


def figures(address: str) -> dict[str, float]:
    with urllib.request.urlopen(f"{address}/stats.json", timeout=60) as answer:
        return dict(json.loads(answer.read())["figures"])


# A recording with cameras

SIDE = 256
"""Pixels of a picture of a run: at outlines a pixel may show the other surface, see docs/web.md."""

LEAST_PSNR = 35.0
"""dB between a picture of the run and the same frame in the browser, over white."""

CAMERA_FRAMES = 150


def camera_path(count: int, lens: tuple[float, float]) -> list[Camera]:
    """Cameras that go round the bundled avatar, up and down, and nearer."""
    front = resting_camera(open_avatar("sample").avatar)
    steps = np.linspace(-1, 1, count)
    wide = replace(front, intrinsics=np.float32([*lens, 0.52, 0.48]))
    cameras = []
    for x in steps:
        camera = orbited(wide, yaw=0.7 * x, pitch=0.25 * x, zoom=1.0)
        nearer = camera.world_to_camera * np.float32([1, 1, 1, 1 - 0.2 * x])
        cameras.append(replace(camera, world_to_camera=nearer))
    return cameras


@pytest.fixture
def recording(tmp_path: Path) -> Callable[..., str]:
    """Writes the bundled motion with cameras for a lens."""

    def write(lens: tuple[float, float]) -> str:
        talk = read_track("talk").select(slice(0, CAMERA_FRAMES))
        path = tmp_path / "moving.json"
        write_track(replace(talk, cameras=tuple(camera_path(len(talk), lens))), path)
        return str(path)

    return write


def command(address: str, **content: object) -> None:
    request = urllib.request.Request(
        f"{address}/control",
        json.dumps(content).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 200


def run_picture(address: str) -> np.ndarray:
    """The picture of the run as colours over white, `[256, 256, 3]`, float."""
    with urllib.request.urlopen(f"{address}/frame.png", timeout=60) as answer:
        return over_white(
            cv2.imdecode(np.frombuffer(answer.read(), np.uint8), -1)[..., [2, 1, 0, 3]]
        )


def over_white(image: np.ndarray) -> np.ndarray:
    alpha = image[..., 3:].astype(float) / 255
    return alpha * image[..., :3] + (1 - alpha) * 255


def browser_picture(page: Page) -> np.ndarray:
    """The same of the page's present face and view, without anti-aliasing."""
    values = page.evaluate(
        f"""(() => {{
          const head = {HEAD};
          const {{expression, pose}} = head.flame;
          const matrix = head.camera.imageMatrix({SIDE}, {SIDE});
          return [...head.pixels(expression, pose, matrix, {SIDE}, {SIDE})];
        }})()"""
    )
    return over_white(np.array(values, np.uint8).reshape(SIDE, SIDE, 4))


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((one - other) ** 2) / 255**2))


def settled(page: Page) -> None:
    """Wait until the face and the view stay; the buffer shows a frame somewhat later."""
    view = f"JSON.stringify([{HEAD}.flame, {HEAD}.camera.imageMatrix({SIDE}, {SIDE})])"
    before = ""
    for _ in range(100):
        now = str(page.evaluate(view))
        if now == before:
            return
        before = now
        time.sleep(0.5)
    raise AssertionError("the view does not settle")


@pytest.mark.parametrize("lens", [(3.0, 3.0), (1.8, 3.2)], ids=["square", "wide"])
def test_the_browser_looks_through_the_cameras_of_a_recording(
    page: Page, recording: Callable[..., str], lens: tuple[float, float], tmp_path: Path
) -> None:
    source = recording(lens)
    options = ("--antialias", "none", "--shading", "student", "--loop", "--size", str(SIDE))
    with run(*options, source=source) as (_, address):
        page.open(address)
        wait(page, f"{HEAD}?.live?.received > 10")
        fidelities = []
        for number in range(3):
            command(address, pause=True)
            settled(page)
            expected, shown = run_picture(address), browser_picture(page)
            fidelities.append(psnr(expected, shown))
            both = np.hstack([expected, shown]).astype(np.uint8)
            cv2.imwrite(str(tmp_path / f"{number}.png"), both[..., ::-1])
            command(address, pause=False)
            time.sleep(1.0)
        assert min(fidelities) >= LEAST_PSNR, fidelities
        assert page.evaluate(f"{HEAD}.live.refused") == 0
        assert_touching_frees_the_view(page, address)
        # a page that is busy for seconds may request on a connection that was just closed as idle
        assert [error for error in page.errors() if "/stats.json" not in error] == []


def assert_touching_frees_the_view(page: Page, address: str) -> None:
    """A turned view stays where it is; `reset` returns to the camera of the motion."""
    matrix = f"{HEAD}.camera.imageMatrix({SIDE}, {SIDE}).map((value) => value.toFixed(6)).join()"

    def views() -> set[str]:
        shown = set()
        for _ in range(5):
            shown.add(str(page.evaluate(matrix)))
            time.sleep(0.15)
        return shown

    assert len(views()) > 2, "the camera moves"
    page.evaluate(f"{HEAD}.turn(0.1, 0)")
    assert len(views()) == 1, "the user's view stays"
    page.evaluate("document.dispatchEvent(new KeyboardEvent('keydown', {key: 'r'}))")
    assert len(views()) > 2
    page.evaluate(f"{HEAD}.zoom(1.2)")
    assert len(views()) == 1
    page.evaluate(f"{HEAD}.reset()")
    command(address, pause=True)
    settled(page)
    assert psnr(run_picture(address), browser_picture(page)) >= LEAST_PSNR
    page.evaluate(f"{HEAD}.unfollow()")
    front = page.evaluate(matrix)
    page.evaluate(f"{HEAD}.reset()")
    assert page.evaluate(matrix) == front, "without a run the view is from the front"
    assert psnr(run_picture(address), browser_picture(page)) < 25, "another view is seen to differ"


def test_the_page_stays_in_front_with_camera_front(
    page: Page, recording: Callable[..., str]
) -> None:
    source = recording((3.0, 3.0))
    with run("--camera", "front", "--loop", source=source) as (_, address):
        page.open(address)
        wait(page, f"{HEAD}?.live?.received > 10")
        view = f"{HEAD}.camera.imageMatrix(96, 96).join()"
        before = page.evaluate(view)
        page.evaluate(f"{HEAD}.reset()")
        time.sleep(0.5)
        assert page.evaluate(view) == before
        assert page.evaluate(f"{HEAD}.live.refused") == 0


# Runs in this process: faces that nod, behind the page's own sink


@pytest.fixture(scope="module")
def stream() -> Stream:
    folder = open_avatar("sample")
    return Stream(64, 64, 25.0, edition="openhead", folder=folder)


@contextmanager
def nodding(target: str, stream: Stream, turn: float | None = None) -> Iterator[str]:
    """Serve a nodding head, or one that is turned; yields the address of its page."""
    ended = threading.Event()
    image = np.full((64, 64, 4), 200, np.uint8)

    def work(sink: Sink) -> None:
        assert sink.write_face is not None
        while not ended.wait(1 / 30):
            pose = np.zeros(15, np.float32)
            pose[3] = 0.3 * np.sin(6 * time.monotonic()) if turn is None else 0
            pose[4] = turn or 0
            sink.write_face(np.zeros(50, np.float32), pose)
            sink.write(image)

    with open_sink(target, stream) as sink:
        thread = threading.Thread(target=work, args=(sink,))
        thread.start()
        try:
            match = re.search(r"http://\S+", sink.greeting)
            assert match
            yield match[0].replace("0.0.0.0", "127.0.0.1")
        finally:
            ended.set()
            thread.join(LIMIT)


def mode(page: Page) -> str:
    return str(page.evaluate("document.getElementById('mode').textContent"))


def wait_for_pictures(page: Page, reason: str) -> None:
    """Wait until pictures of the run are shown, and the page says why."""
    wait(page, f"document.getElementById('mode').textContent.includes({reason!r})")
    wait(page, "document.getElementById('head').naturalWidth === 64")
    assert mode(page).startswith("drawn by the run: ")
    assert page.evaluate(f"{HEAD} === null")


def nods(page: Page) -> bool:
    return bool(np.ptp(poses(page)[:, 53]) > 0.1)


def test_the_page_recovers_when_the_run_starts_again(page: Page, stream: Stream) -> None:
    with nodding("http://127.0.0.1:0", stream) as address:
        page.open(address)
        wait(page, f"{HEAD}?.live?.received > 5")
        page.evaluate(
            f"""(() => {{
              window.events = [];
              for (const name of ["connected", "disconnected"])
                {HEAD}.addEventListener(name, () => window.events.push(name));
            }})()"""
        )
        assert nods(page)
    wait(page, "document.getElementById('state').textContent === 'the run has ended'")
    wait(page, "window.events.length")
    with nodding(address, stream):
        wait(page, "window.events.includes('connected')")
        wait(page, "document.getElementById('state').textContent === ''")
        assert page.evaluate("window.events")[0] == "disconnected"
        assert nods(page)
        assert mode(page) == "drawn in this browser"


def test_another_avatar_is_loaded_when_the_run_starts_again(
    page: Page, stream: Stream, tiny_avatar_folder: Path
) -> None:
    with nodding("http://127.0.0.1:0", stream) as address:
        page.open(address)
        wait(page, f"{HEAD}?.live?.received > 5")
    wait(page, "document.getElementById('state').textContent === 'the run has ended'")
    other = open_avatar(tiny_avatar_folder)
    with nodding(address, replace(stream, folder=other)):
        wait(page, f"{HEAD}?.avatar?.vertexCount < 1000")
        assert mode(page) == "drawn in this browser"
    wait(page, "document.getElementById('state').textContent === 'the run has ended'")
    without_student = AvatarFolder(other.path, other.avatar, {"files": {}})
    with nodding(address, replace(stream, folder=without_student)):
        reason = "the avatar has no student; export it again without --no-student"
        wait_for_pictures(page, reason)


def test_pictures_are_shown_where_the_browser_cannot_draw(page: Page, stream: Stream) -> None:
    with nodding("http://127.0.0.1:0", stream) as address:
        for script, reason in (
            ("delete window.WebSocket", "no WebSocket"),
            ("HTMLCanvasElement.prototype.getContext = () => null", "no WebGL 2"),
        ):
            added = page.send("Page.addScriptToEvaluateOnNewDocument", source=script)
            page.open(address)
            wait_for_pictures(page, reason)
            assert page.errors() == []
            page.send("Page.removeScriptToEvaluateOnNewDocument", identifier=added["identifier"])


def test_pictures_are_shown_where_the_connection_carries_no_websocket(
    page: Page, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: object) -> web.Response:
        return web.Response(status=400)

    monkeypatch.setitem(PAGES, FOLLOW, refused)
    with nodding("http://127.0.0.1:0", stream) as address:
        page.open(address)
        wait_for_pictures(page, "the connection carries no WebSocket")


def test_a_page_with_a_token_draws_and_steers(page: Page, stream: Stream) -> None:
    with nodding("http://0.0.0.0:0", stream) as address:
        page.open(address)
        wait(page, f"{HEAD}?.live?.received > 5")
        assert nods(page)
        page.evaluate("document.dispatchEvent(new KeyboardEvent('keydown', {key: ' '}))")
        wait(page, "document.getElementById('state').textContent === 'paused'")
        assert stream.controls.paused
        page.evaluate("document.dispatchEvent(new KeyboardEvent('keydown', {key: 'm'}))")
        wait_for_pictures(page, "by the key m")
        assert page.errors() == []
    stream.controls.paused = False


def test_a_mirrored_run_is_mirrored_in_the_browser(page: Page, stream: Stream) -> None:
    shown = []
    for mirrored in (False, True):
        with nodding("http://127.0.0.1:0", replace(stream, mirrored=mirrored), turn=0.5) as address:
            page.open(address)
            wait(page, f"Math.abs(({HEAD}?.flame.pose[4] ?? 0) - 0.5) < 0.01")
            page.evaluate("document.querySelectorAll('aside, footer').forEach((e) => e.remove())")
            shown.append(screenshot(page))
    straight, flipped = (image.astype(int) for image in shown)
    assert np.abs(straight[:, ::-1] - flipped).mean() < 0.1 * np.abs(straight - flipped).mean()


def test_an_embedded_head_follows_a_run(page: Page, stream: Stream, tmp_path: Path) -> None:
    """The example of docs/web.md in a page of another site, which the run allows, or does not."""
    guide = (Path(__file__).parents[3] / "docs" / "web.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```javascript\n(.*?)```", guide, re.DOTALL)
    folder = tmp_path / "site"
    write_page(folder, BrowserAvatar(stream).data())
    with served(folder) as site:
        origin = site.rstrip("/")
        for allowed, query in ((True, f"/?origin={origin}"), (False, "")):
            with nodding(f"http://127.0.0.1:0{query}", stream) as address:
                policy = f"connect-src 'self' {address.split('/?')[0].replace('http', 'ws')}"
                html = folder / "index.html"
                text = html.read_text(encoding="utf-8")
                html.write_text(
                    re.sub(r"connect-src 'self'( ws:[^;]*)?", policy, text), encoding="utf-8"
                )
                page.open(f"{site}index.html")
                wait(page, f"{HEAD}?.avatar")
                port = address.split("/?")[0].rpartition(":")[2]
                page.evaluate(
                    f"""(() => {{
                      window.events = [];
                      for (const name of ["connected", "disconnected"])
                        {HEAD}.addEventListener(name, () => window.events.push(name));
                      {example.replace("8080", port)}
                    }})()"""
                )
                wait(page, "window.events.length")
                assert page.evaluate("window.events[0]") == (
                    "connected" if allowed else "disconnected"
                )
                assert nods(page) is allowed
                page.evaluate(f"{HEAD}.unfollow()")
                assert page.evaluate(f"{HEAD}.live ?? null") is None


def test_the_motion_of_another_head_model_gets_a_sentence(
    page: Page, stream: Stream, tmp_path: Path
) -> None:
    folder = tmp_path / "site"
    write_page(folder, BrowserAvatar(stream).data())
    html = folder / "index.html"
    text = html.read_text(encoding="utf-8").replace("connect-src 'self'", "connect-src *")
    html.write_text(text, encoding="utf-8")
    with served(folder) as site:
        target = f"http://127.0.0.1:0/?origin={site.rstrip('/')}"
        with nodding(target, replace(stream, edition="flame2020")) as address:
            page.open(f"{site}index.html")
            wait(page, f"{HEAD}?.avatar")
            address = address.replace("http", "ws").rstrip("/")
            page.evaluate(
                f"""(() => {{
                  window.texts = [];
                  {HEAD}.addEventListener("error", (event) => window.texts.push(event.detail));
                  {HEAD}.follow({address + "/live"!r});
                }})()"""
            )
            wait(page, f"{HEAD}.live.refused > 5")
            assert page.evaluate("window.texts") == [
                "The motion is for the head model flame2020, and this avatar has openhead."
            ]
            assert not nods(page)
