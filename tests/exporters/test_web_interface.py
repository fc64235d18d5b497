"""The page's presets, saved pictures and videos, frame time, and adaptive resolution."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from imavatar_deploy.arrays import Array, UInt8
from imavatar_deploy.avatar_io import AvatarFolder, open_avatar
from imavatar_deploy.exporters.formats.web.chromium import Page
from imavatar_deploy.exporters.formats.web.format import write_page
from imavatar_deploy.exporters.formats.web.frames import opened
from imavatar_deploy.rendering.posing import resting_camera
from imavatar_deploy.student import read_student
from imavatar_deploy.viewer.avatar_file import encode

from ..students import random_student
from ..tiny_avatar import tiny_avatar
from ..web_scripts import HEAD, NEXT_FRAME

pytestmark = pytest.mark.usefixtures("browser_here", "limited_browser")

PRESETS = ("Neutral", "Smile", "Surprise", "Sad", "Angry", "Blink", "Kiss", "Speak")

CATCH_DOWNLOADS = """
(() => {
  window.downloads = [];
  HTMLAnchorElement.prototype.click = function () {
    const {download, href} = this;
    window.downloads.push(fetch(href).then((answer) => answer.blob())
      .then(async (blob) => [download, blob.type, await new Promise((done) => {
        const reader = new FileReader();
        reader.onload = () => done(reader.result.split(",")[1]);
        reader.readAsDataURL(blob);
      })]));
  };
})()
"""
"""Keeps what the page saves in place of writing files. `fetch` of a blob needs no network."""


def write_site(folder: Path, avatar_folder: AvatarFolder, student: Any = None) -> Path:
    """Write a page without its content security policy, which keeps `fetch` from saved blobs."""
    avatar = avatar_folder.avatar
    camera = resting_camera(avatar)
    write_page(folder, encode(avatar, student or read_student(avatar_folder), camera).data)
    page = folder / "index.html"
    html = page.read_text(encoding="utf-8")
    assert html.count("connect-src 'self'") == 1
    page.write_text(html.replace("connect-src 'self'", "connect-src 'self' blob:"))
    return folder


@pytest.fixture(scope="module")
def shared_page(tmp_path_factory: pytest.TempPathFactory, browser_here: None) -> Iterator[Page]:
    site = write_site(tmp_path_factory.mktemp("web") / "site", open_avatar("sample"))
    with opened(site) as page:
        page.evaluate(CATCH_DOWNLOADS)
        yield page
        assert page.errors() == []


@pytest.fixture
def page(shared_page: Page) -> Page:
    """The bundled avatar's page, neutral, with nothing saved."""
    shared_page.evaluate(f"{HEAD}.reset(), downloads.length = 0")
    return shared_page


def click(page: Page, selector: str) -> None:
    page.evaluate(f"document.querySelector({json.dumps(selector)}).click()")


def status(page: Page) -> str:
    return str(page.evaluate("document.querySelector('[data-status]').textContent"))


def saved(page: Page) -> tuple[str, str, bytes]:
    """Wait for the next file that the page saves; return its name, type and content."""
    name, kind, text = page.evaluate(
        """(async () => {
          for (let i = 0; i < 500 && !downloads.length; i++)
            await new Promise((done) => setTimeout(done, 100));
          return downloads.shift();
        })()"""
    )
    return name, kind, base64.b64decode(text)


def still(page: Page, folder: Path) -> UInt8[Array, "H W 4"]:
    click(page, "[data-picture]")
    name, kind, content = saved(page)
    assert (name, kind) == ("head.png", "image/png")
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert image is not None
    return np.asarray(image)


def test_presets_set_their_expressions_and_the_sliders(page: Page) -> None:
    buttons = page.evaluate(
        "[...document.querySelectorAll('[data-presets] button')].map((each) => each.textContent)"
    )
    assert tuple(buttons) == PRESETS
    page.evaluate(
        f"{HEAD}.setFlame(new Array(50).fill(0), [0, 0, 0, 0, 0.3, ...Array(10).fill(0)])"
    )
    faces = []
    for index, title in enumerate(PRESETS):
        click(page, f"[data-presets] button:nth-child({index + 1})")
        faces.append(page.evaluate(f"[...{HEAD}.flame.expression, ...{HEAD}.flame.pose]"))
        assert faces[-1][54] == pytest.approx(0.3), f"{title} leaves the head's turn"
    assert len({tuple(face) for face in faces}) == len(PRESETS)
    assert not any(faces[0][:50])
    page.evaluate("document.querySelector('[data-presets] button:nth-child(2)').click()")
    slider = page.evaluate("document.querySelector('input[name=mouthSmileLeft]').value")
    assert float(slider) == pytest.approx(0.8)


def test_presets_are_hidden_where_expressions_have_other_names(tmp_path: Path) -> None:
    avatar = tiny_avatar()
    folder = AvatarFolder(tmp_path, avatar, {"files": {}})
    site = write_site(tmp_path / "site", folder, random_student(avatar.vertex_count, 16))
    with opened(site) as page:
        assert page.evaluate("document.querySelector('[data-presets]').hidden")
        assert page.evaluate("document.querySelector('[data-presets]').clientHeight") == 0
        assert page.errors() == []


def test_a_picture_is_saved_with_a_transparent_background(page: Page, tmp_path: Path) -> None:
    neutral = still(page, tmp_path)
    size = page.evaluate(f"[{HEAD}.clientHeight * devicePixelRatio, {HEAD}.clientWidth]")
    assert neutral.shape[:2] == tuple(size)
    assert status(page) == "Saved as head.png."
    alpha = neutral[..., 3]
    assert alpha[0].max() == 0, "the uppermost row is background"
    assert 0.1 < (alpha == 255).mean() < 0.9
    assert ((alpha > 0) & (alpha < 255)).any(), "outlines are anti-aliased"
    page.evaluate(f"{HEAD}.setExpression('mouthSmileLeft', 1)")
    smiling = still(page, tmp_path)
    both = (alpha == 255) & (smiling[..., 3] == 255)
    assert np.abs(smiling[both].astype(int) - neutral[both]).max() > 20


def track(seconds: float) -> str:
    """The head turns from one side to the other."""
    count = int(25 * seconds)
    rows = [
        {"expression": [0.0] * 50, "pose": [0.0] * 4 + [i / count - 0.5] + [0.0] * 10}
        for i in range(count)
    ]
    return json.dumps({"fps": 25, "head_model": "openhead", "frames": rows})


def decoded(content: bytes, folder: Path) -> tuple[list[UInt8[Array, "H W 3"]], float]:
    """Frames of a video, and the time of the last one in seconds."""
    path = folder / "head.webm"
    path.write_bytes(content)
    with av.open(str(path)) as video:
        frames = list(video.decode(video=0))
    assert frames[-1].time is not None
    return [frame.to_ndarray(format="rgb24") for frame in frames], frames[-1].time


def test_a_video_of_the_track_is_saved(page: Page, tmp_path: Path) -> None:
    page.evaluate(f"{HEAD}.setTrack({json.dumps(track(2))}), {HEAD}.pause(), {HEAD}.seek(1)")
    click(page, "[data-video]")
    assert page.evaluate("document.querySelector('[data-video]').textContent") == "Stop"
    name, kind, content = saved(page)
    assert (name, kind.split(";")[0]) == ("head.webm", "video/webm")
    assert page.evaluate("document.querySelector('[data-video]').textContent") == "Save video"
    assert not page.evaluate(f"{HEAD}.playback.playing"), "as before the recording"
    frames, last = decoded(content, tmp_path)
    assert frames[0].shape[:2] == tuple(page.evaluate(f"[{HEAD}.clientHeight, {HEAD}.clientWidth]"))
    assert 1.0 < last < 3.0
    assert len(frames) >= 5
    assert np.abs(frames[0].astype(int) - frames[-1]).mean() > 1, "the head turns"


def test_a_video_without_a_track_has_the_length_that_is_asked_for(
    page: Page, tmp_path: Path
) -> None:
    text = page.evaluate(
        f"""{HEAD}.record(1).then(async (blob) =>
          btoa(String.fromCharCode(...new Uint8Array(await blob.arrayBuffer()))))"""
    )
    frames, last = decoded(base64.b64decode(text), tmp_path)
    assert len(frames) >= 3
    assert 0.4 < last < 2
    for seconds in ("0", "-1", "NaN", "Infinity"):
        error = page.evaluate(f"{HEAD}.record({seconds}).catch((error) => error.message)")
        assert error.startswith("a video must have a positive number of seconds, got")


def test_a_second_click_ends_the_video(page: Page) -> None:
    page.evaluate(f"{HEAD}.setTrack({json.dumps(track(60))})")
    click(page, "[data-video]")
    page.evaluate("new Promise((done) => setTimeout(done, 700))")
    click(page, "[data-video]")
    assert saved(page)[0] == "head.webm"


def test_a_browser_without_a_recorder_says_so(page: Page) -> None:
    page.evaluate("window.kept = MediaRecorder, MediaRecorder = undefined")
    click(page, "[data-video]")
    page.evaluate(NEXT_FRAME)
    page.evaluate("MediaRecorder = window.kept")
    assert status(page) == "This browser records no video of a page. Use a newer one."


def test_the_frame_time_is_shown(page: Page) -> None:
    page.evaluate(f"{HEAD}.setExpression('browInnerUp', 0.5)")
    page.evaluate(NEXT_FRAME)
    text = page.evaluate("document.querySelector('[data-frame]').textContent")
    assert float(text.removesuffix(" ms a frame")) > 0


def test_late_frames_lower_the_resolution_and_early_ones_raise_it(page: Page) -> None:
    """The browser's clock is replaced: frames come every 50 ms, later every 10 ms."""
    page.evaluate(
        """(() => {
          window.interval = 50;
          let now = 0;
          window.keptRequest = requestAnimationFrame;
          window.requestAnimationFrame = (draw) => keptRequest(() => draw((now += interval)));
        })()"""
    )
    page.evaluate(f"{HEAD}.setTrack({json.dumps(track(60))})")
    reached = f"""(async (width) => {{
      const canvas = {HEAD}.shadowRoot.querySelector("canvas");
      for (let i = 0; i < 400 && canvas.width !== Math.round(width * canvas.clientWidth); i++)
        await new Promise((done) => setTimeout(done, 100));
      return canvas.width / canvas.clientWidth;
    }})"""
    assert page.evaluate(f"{reached}(0.5)") == pytest.approx(0.5, abs=0.01)
    page.evaluate("window.interval = 10")
    assert page.evaluate(f"{reached}(1)") == pytest.approx(1)
    page.evaluate("window.requestAnimationFrame = keptRequest")


def scheme(page: Page) -> tuple[str, str, str]:
    """The button's name, the scheme of the browser's own controls, and the page's background."""
    label, native, ground = page.evaluate(
        """[document.querySelector("[data-colours]").ariaLabel,
            getComputedStyle(document.documentElement).colorScheme,
            getComputedStyle(document.body).backgroundColor]"""
    )
    return label, native, ground


@pytest.mark.parametrize("system", ["light", "dark"])
def test_the_button_chooses_light_or_dark_colours(page: Page, system: str) -> None:
    light, dark = "rgb(236, 238, 241)", "rgb(32, 35, 39)"
    page.send(
        "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": system}]
    )
    as_system = ("Colours: as the system", "light dark", {"light": light, "dark": dark}[system])
    assert scheme(page) == as_system
    click(page, "[data-colours]")
    assert scheme(page) == ("Colours: light", "light", light)
    click(page, "[data-colours]")
    assert scheme(page) == ("Colours: dark", "dark", dark)
    click(page, "[data-colours]")
    assert scheme(page) == as_system
    page.send("Emulation.setEmulatedMedia", features=[])


def test_the_chosen_colours_are_kept(tmp_path: Path) -> None:
    site = write_site(tmp_path / "site", open_avatar("sample"))
    with opened(site) as page:
        click(page, "[data-colours]")
        click(page, "[data-colours]")
        page.send("Page.reload")
        for _ in range(100):
            if page.evaluate("document.querySelector('[data-colours]')?.title ?? ''"):
                break
            page.evaluate("new Promise((done) => setTimeout(done, 100))")
        assert scheme(page)[:2] == ("Colours: dark", "dark")
        assert page.errors() == []
