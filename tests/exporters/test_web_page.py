"""The page of the format web in Chromium: its pixels, its controls, and bad files."""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from imavatar_deploy.avatar_io import AvatarFolder, open_avatar
from imavatar_deploy.camera import Camera
from imavatar_deploy.exporters.fidelity.options import DEFAULT_TOLERANCES_FILE, tolerances
from imavatar_deploy.exporters.fidelity.reference_poses import reference_poses
from imavatar_deploy.exporters.formats.web import chromium as driver
from imavatar_deploy.exporters.formats.web.chromium import BrowserError, Page, chromium
from imavatar_deploy.exporters.formats.web.format import BINARY, PAGE, write_page
from imavatar_deploy.exporters.formats.web.frames import (
    NO_BROWSER,
    READY,
    browser_obstacle,
    draw_in_browser,
    opened,
    served,
)
from imavatar_deploy.fidelity.draw import draw
from imavatar_deploy.fidelity.image_metrics import psnr
from imavatar_deploy.fidelity.reference_frames import ReferenceFrames
from imavatar_deploy.fidelity.stage_metrics import BROWSER
from imavatar_deploy.marking import TERM
from imavatar_deploy.rendering.posing import resting_camera
from imavatar_deploy.student import STUDENT_FILE, read_student, write_student
from imavatar_deploy.tracks import read_track
from imavatar_deploy.viewer.avatar_file import encode

from ..students import random_student
from ..tiny_avatar import tiny_avatar
from ..web_scripts import HEAD, NEXT_FRAME, lose_and_restore_context

pytestmark = pytest.mark.usefixtures("limited_browser")
needs_browser = pytest.mark.usefixtures("browser_here")

SIZE = 96
AXE = Path(__file__).parents[2] / "tools" / "viewer" / "node_modules" / "axe-core" / "axe.min.js"


def camera_of(folder: AvatarFolder) -> Camera:
    return resting_camera(folder.avatar)


@pytest.fixture(scope="module")
def sample() -> AvatarFolder:
    return open_avatar("sample")


@pytest.fixture(scope="module")
def site(sample: AvatarFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the bundled avatar."""
    folder = tmp_path_factory.mktemp("web") / "site"
    data = encode(sample.avatar, read_student(sample), camera_of(sample)).data
    assert sum(write_page(folder, data).values()) < 1_000_000
    return folder


@pytest.fixture(scope="module")
def shared_page(site: Path, browser_here: None) -> Iterator[Page]:
    with opened(site) as page:
        yield page
        assert page.errors() == []


@pytest.fixture
def page(shared_page: Page) -> Page:
    """The bundled avatar's page, neutral, without a track that plays."""
    shared_page.evaluate(f"{HEAD}.reset()")
    return shared_page


def frames_of(folder: AvatarFolder, size: int = SIZE) -> ReferenceFrames:
    poses = reference_poses("openhead")
    return ReferenceFrames.blank(poses.expression, poses.pose, camera_of(folder), size)


@needs_browser
def test_the_page_draws_what_the_player_draws(sample: AvatarFolder, site: Path) -> None:
    reference = frames_of(sample)
    assert len(reference.pose) >= 8
    limits = tolerances(DEFAULT_TOLERANCES_FILE)[BROWSER]
    frames = zip(draw(sample, reference, "student"), draw_in_browser(site, reference), strict=True)
    for player, page in frames:
        common = player.mask & page.mask
        assert (player.mask != page.mask).sum() < 0.005 * player.mask.sum()
        assert psnr(player.rgb, page.rgb, common) >= limits["worst_psnr"] >= 40
        angle = np.degrees(
            np.arccos(np.clip((player.normal * page.normal).sum(axis=2)[common], -1, 1))
        )
        assert np.median(angle) < 0.5


@needs_browser
@pytest.mark.parametrize(("width", "bones"), [(16, 5), (32, 6)])
def test_students_of_every_width_and_both_skeletons(tmp_path: Path, width: int, bones: int) -> None:
    avatar = tiny_avatar(bones=bones)
    student = random_student(avatar.vertex_count, width)
    folder = AvatarFolder(tmp_path, avatar, {"files": {}})
    write_page(tmp_path / "site", encode(avatar, student, camera_of(folder)).data)
    write_student(tmp_path, student)
    folder = AvatarFolder(tmp_path, avatar, {"files": {STUDENT_FILE: {}}})
    reference = frames_of(folder, 64)
    frames = zip(
        draw(folder, reference, "student"),
        draw_in_browser(tmp_path / "site", reference),
        strict=True,
    )
    for player, page in frames:
        assert psnr(player.rgb, page.rgb, player.mask & page.mask) > 38


@needs_browser
def test_a_damaged_student_is_noticed(sample: AvatarFolder, site: Path, tmp_path: Path) -> None:
    """The comparison fails where the page shows something else."""
    avatar, student = sample.avatar, read_student(sample)
    student.colour_bias[0] += 0.3
    write_page(tmp_path / "site", encode(avatar, student, camera_of(sample)).data)
    reference = frames_of(sample)
    player = draw(sample, reference, "student")[0]
    page = draw_in_browser(tmp_path / "site", reference)[0]
    assert psnr(player.rgb, page.rgb, player.mask & page.mask) < 40


def pixels(page: Page) -> NDArray[np.float32]:
    """What the head shows now, from the front, `[SIZE, SIZE, 3]`."""
    text = page.evaluate(
        f"""(() => {{
          const head = {HEAD};
          const {{expression, pose}} = head.flame;
          const {{worldToCamera: w, intrinsics: [fx, fy, cx, cy]}} = head.avatar.camera;
          const s = {SIZE};
          const matrix = [0, 1, 2, 3].map((i) => fx * s * w[i] - cx * s * w[8 + i])
            .concat([0, 1, 2, 3].map((i) => -fy * s * w[4 + i] - cy * s * w[8 + i]))
            .concat([0, 1, 2, 3].map((i) => -w[8 + i]));
          return btoa(String.fromCharCode(...head.pixels(expression, pose, matrix, s, s)));
        }})()"""
    )
    image = np.frombuffer(base64.b64decode(text), np.uint8).reshape(SIZE, SIZE, 4)
    return image[..., :3].astype(np.float32) * (image[..., 3:] > 0)


def move(page: Page, name: str, value: float) -> None:
    """Move a slider as a person does: its event `input` follows."""
    page.evaluate(
        f"""(() => {{
          const input = document.querySelector('input[name={json.dumps(name)}]');
          input.value = {value};
          input.dispatchEvent(new Event("input"));
        }})()"""
    )


def test_every_slider_shows_its_own_expression(page: Page, sample: AvatarFolder) -> None:
    """Of what the player draws of all expressions and the neutral face, its own is nearest."""
    names = sample.avatar.expression_names
    codes = np.eye(len(names) + 1, len(names), dtype=np.float32)
    still = np.zeros((len(codes), 15), dtype=np.float32)
    camera = camera_of(sample)
    drawn = draw(sample, ReferenceFrames.blank(codes, still, camera, SIZE), "student")
    within = np.all([player.mask for player in drawn], axis=0)
    faces = 255 * np.stack([player.rgb[within] for player in drawn])
    neutral = pixels(page)
    for index, name in enumerate(names):
        move(page, name, 1)
        assert page.evaluate(f"{HEAD}.flame.expression[{index}]") == 1
        shown = pixels(page)
        differences = ((shown[within] - faces) ** 2).mean(axis=(1, 2))
        assert differences.argmin() == index, name
        error = np.abs(shown / 255 - drawn[index].rgb).max(axis=-1)
        at_edges = within & (error > 0.15)  # a step of a coordinate moves an edge over a pixel
        assert at_edges.sum() <= 0.002 * within.sum(), name
        assert psnr(shown / 255, drawn[index].rgb, within & ~at_edges) > 43, name
        move(page, name, 0)
    assert np.array_equal(pixels(page), neutral)


def test_the_sliders_of_head_jaw_and_eyes(page: Page) -> None:
    neutral = pixels(page)
    for name, value, index in (("pose-4", 0.5, 4), ("pose-6", 0.3, 6), ("pose-10", 0.4, 13)):
        move(page, name, value)
        assert page.evaluate(f"{HEAD}.flame.pose[{index}]") == pytest.approx(value)
        assert np.abs(pixels(page) - neutral).max() > 20
        page.evaluate("document.querySelector('[data-reset]').click()")
        assert page.evaluate(f"document.querySelector('input[name={name}]').value") == "0"
    assert np.array_equal(pixels(page), neutral)


def track(count: int = 50, **changes: Any) -> str:
    rows = [
        {"expression": [0.0] * 50, "pose": [0.0] * 6 + [0.3 * index / count] + [0.0] * 8}
        for index in range(count)
    ]
    return json.dumps({"fps": 25, "head_model": "openhead", "frames": rows} | changes)


def drop(page: Page, text: str) -> str:
    """Drop a file on the page and return the sentence that it then shows."""
    page.evaluate(
        f"""(async () => {{
          const data = new DataTransfer();
          data.items.add(new File([{json.dumps(text)}], "track.json"));
          document.body.dispatchEvent(
            new DragEvent("drop", {{dataTransfer: data, bubbles: true, cancelable: true}}));
          await new Promise((done) => setTimeout(done, 300));
        }})()"""
    )
    return str(page.evaluate("document.querySelector('[data-status]').textContent"))


def test_a_dropped_track_plays_pauses_and_is_scrubbed(page: Page) -> None:
    assert drop(page, track()) == "track.json"
    state = page.evaluate(f"{HEAD}.playback")
    assert state["playing"]
    assert state["duration"] == pytest.approx(2)
    page.evaluate("new Promise((done) => setTimeout(done, 400))")
    assert page.evaluate(f"{HEAD}.playback.seconds") > 0
    page.evaluate("document.querySelector('[data-play]').click()")
    assert page.evaluate("document.querySelector('[data-play]').textContent") == "Play"
    move(page, "time", 1)
    assert page.evaluate(f"{HEAD}.flame.pose[6]") == pytest.approx(0.15)
    slider = page.evaluate("document.querySelector('input[name=pose-6]').value")
    assert float(slider) == pytest.approx(0.15)


def test_reduced_motion_does_not_start_a_track(page: Page) -> None:
    reduced = {"name": "prefers-reduced-motion", "value": "reduce"}
    page.send("Emulation.setEmulatedMedia", features=[reduced])
    assert drop(page, track()) == "track.json"
    assert not page.evaluate(f"{HEAD}.playback.playing")
    page.send("Emulation.setEmulatedMedia", features=[])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("PK", "not JSON"),
        ("null", "no list of frames"),
        ("[]", "no list of frames"),
        (track(head_model="flame2020"), "is for the head model flame2020, and this avatar has"),
        (track(fps=-1), "no valid frame rate"),
        (track(frames=[{"pose": [0] * 15}]), "Frame 1 of the track has no expression of 50"),
        (track(frames=[None]), "Frame 1 of the track has no expression"),
        (track(frames=["abc"]), "Frame 1 of the track has no expression"),
        (track()[:-100], "not JSON"),
        ("[" * 100_000, "not JSON"),
        (track(frames={"length": 2}), "no list of frames"),
        (track(frames=[{}] * 200_001), "no list of frames"),
        (track(fps="25"), "no valid frame rate"),
        (track(frames=[{"expression": [1e39] + [0] * 49}]), "has no expression of 50 numbers"),
        (track(frames=[{"expression": ["0"] * 50}]), "has no expression of 50 numbers"),
        (track(frames=[{"expression": [0] * 50, "pose": [0] * 16}]), "no pose of 15 numbers"),
    ],
)
def test_other_files_get_a_sentence(page: Page, text: str, sentence: str) -> None:
    assert sentence in drop(page, text)


def test_a_lost_context_is_recovered(page: Page) -> None:
    neutral = pixels(page)
    lose_and_restore_context(page)
    page.evaluate(NEXT_FRAME)
    assert np.array_equal(pixels(page), neutral)


def test_dragging_keys_and_the_wheel_turn_the_view(page: Page) -> None:
    def shown() -> str:
        page.evaluate(NEXT_FRAME)
        return str(page.send("Page.captureScreenshot", format="png")["data"])

    views = [shown()]
    page.evaluate(f"{HEAD}.shadowRoot.querySelector('canvas').focus()")
    page.send("Input.dispatchKeyEvent", type="keyDown", key="ArrowLeft")
    views.append(shown())
    for kind, x in (("mousePressed", 200), ("mouseMoved", 260), ("mouseReleased", 260)):
        page.send("Input.dispatchMouseEvent", type=kind, x=x, y=200, button="left", clickCount=1)
    views.append(shown())
    page.send("Input.dispatchMouseEvent", type="mouseWheel", x=200, y=200, deltaX=0, deltaY=-300)
    views.append(shown())
    assert len(set(views)) == 4


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_page_has_labels_and_no_overflow(page: Page, scheme: str) -> None:
    page.send(
        "Emulation.setDeviceMetricsOverride",
        width=360,
        height=640,
        deviceScaleFactor=1,
        mobile=True,
    )
    page.send(
        "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}]
    )
    page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    page.evaluate(NEXT_FRAME)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    unlabelled = page.evaluate(
        """[...document.querySelectorAll('input, button')]
           .filter((each) => !each.labels?.length && !each.ariaLabel && !each.textContent)
           .map((each) => each.outerHTML)"""
    )
    assert unlabelled == []
    page.send("Emulation.clearDeviceMetricsOverride")
    page.send("Emulation.setEmulatedMedia", features=[])


@pytest.mark.parametrize("chosen", ["", "light", "dark"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation_of_accessibility(page: Page, scheme: str, chosen: str) -> None:
    """In the system's colours and in those that the button chooses."""
    if not AXE.is_file():
        pytest.skip("needs axe-core, which tools/build_viewer.py installs with the compilers")
    page.send(
        "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}]
    )
    for _ in range(["", "light", "dark"].index(chosen)):
        page.evaluate("document.querySelector('[data-colours]').click()")
    assert page.evaluate("document.documentElement.dataset.scheme") == chosen
    page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    page.evaluate(f"{AXE.read_text(encoding='utf-8')}; 0")
    violations = page.evaluate(
        "axe.run().then((result) => result.violations.map((each) => [each.id, each.help]))"
    )
    while page.evaluate("document.documentElement.dataset.scheme"):
        page.evaluate("document.querySelector('[data-colours]').click()")
    page.send("Emulation.setEmulatedMedia", features=[])
    assert violations == []


def load(folder: Path, path: str = PAGE) -> tuple[Page, str]:
    """Open a page and return the sentence in place of its avatar."""
    with served(folder) as address, chromium(str(driver.find_chromium())) as browser:
        page = browser.page()
        page.open(address + path)
        try:
            page.evaluate(
                "new Promise(done => document.readyState === 'complete' ? done() : "
                "addEventListener('load', () => done()))"
            )
            page.evaluate(READY)
        except BrowserError as error:
            return page, str(error)
        return page, ""


@needs_browser
def test_the_page_works_from_a_sub_path(site: Path) -> None:
    page, sentence = load(site.parent, f"{site.name}/{PAGE}")
    assert sentence == ""
    assert page.errors() == []


@needs_browser
@pytest.mark.parametrize("damage", ["missing", "truncated", "foreign", "version", "flipped"])
def test_a_bad_avatar_gets_a_sentence(site: Path, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "site"
    shutil.copytree(site, folder)
    binary = folder / BINARY
    data = binary.read_bytes()
    middle = len(data) // 2
    changed, sentence = {
        "missing": (None, "the server answered 404"),
        "truncated": (data[:middle], "damaged or incomplete"),
        "foreign": (b"<!doctype html><title>Not found</title>", "not an avatar file"),
        "version": (data[:4] + b"\2" + data[5:], "has version 2, and this page reads version 1"),
        "flipped": (
            data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :],
            "damaged or incomplete",
        ),
    }[damage]
    if changed is None:
        binary.unlink()
    else:
        binary.write_bytes(changed)
    page, text = load(folder)
    assert sentence in text
    assert [error for error in page.errors() if "404" not in error] == []


HEADERS: tuple[dict[str, Any], ...] = (
    {"vertices": 1 << 40},
    {"vertices": -1},
    {"vertices": 9001},
    {"faces": "many"},
    {"payload_bytes": 1 << 60},
    {"payload_bytes": 100},
    {"arrays": []},
    {"arrays": 7},
    {"arrays": [{"name": "faces"}]},
    {"arrays": [None]},
    {"camera": None},
    {"camera": {"world_to_camera": ["a"] * 12, "intrinsics": [1, 1, 0, 0]}},
    {"expression_names": ["a"]},
    {"bones": 7},
    {"width": 64},
)


def test_hostile_headers_get_a_sentence(page: Page) -> None:
    sentences = page.evaluate(
        f"""(async () => {{
          const {{decodeModel}} = await import("./viewer.js");
          const good = new Uint8Array(await (await fetch({json.dumps(BINARY)})).arrayBuffer());
          const length = new DataView(good.buffer).getUint32(8, true);
          const header = JSON.parse(new TextDecoder().decode(good.subarray(12, 12 + length)));
          const sentences = [];
          for (const changes of [...{json.dumps(HEADERS)}, {{}}]) {{
            const text = new TextEncoder().encode(JSON.stringify({{...header, ...changes}}));
            const bytes = new Uint8Array(12 + text.length + good.length - 12 - length);
            bytes.set(good.subarray(0, 8));
            new DataView(bytes.buffer).setUint32(8, text.length, true);
            bytes.set(text, 12);
            bytes.set(good.subarray(12 + length), 12 + text.length);
            sentences.push(await decodeModel(bytes).then(() => "", (error) => error.message));
          }}
          return sentences;
        }})()"""
    )
    assert sentences.pop() == "", "the header without changes is decoded"
    assert len(sentences) == len(HEADERS)
    assert set(sentences) == {
        "The avatar file is damaged or incomplete. Copy it again, or export the avatar again."
    }


def test_cut_and_changed_files_get_a_sentence(page: Page) -> None:
    """Bytes cut at many places and changed at random are refused, or decoded as an avatar."""
    outcomes = page.evaluate(
        f"""(async () => {{
          const {{AvatarError, decodeModel}} = await import("./viewer.js");
          const good = new Uint8Array(await (await fetch({json.dumps(BINARY)})).arrayBuffer());
          const length = new DataView(good.buffer).getUint32(8, true);
          const outcome = (bytes) => decodeModel(bytes).then(
            () => "decoded",
            (error) => error instanceof AvatarError ? error.message : `not foreseen: ${{error}}`);
          const cuts = [0, 1, 3, 4, 7, 8, 11, 12, 13, 12 + length - 1, 12 + length, 13 + length,
            12 + length + 18, good.length >> 1, good.length - 9, good.length - 1];
          const cut = [];
          for (const at of cuts) cut.push(await outcome(good.slice(0, at)));
          const changed = [];
          let seed = 1;
          const random = (limit) => (seed = (seed * 48271) % 2147483647) % limit;
          for (let i = 0; i < 60; i++) {{
            const bytes = good.slice();
            for (let k = 0; k < 3; k++) bytes[random(12 + length)] = random(256);
            changed.push(await outcome(bytes));
          }}
          return {{cut, changed}};
        }})()"""
    )
    sentences = (
        "This is not an avatar file of imavatar-export --format web.",
        "The avatar file is damaged or incomplete. Copy it again, or export the avatar again.",
    )
    assert set(outcomes["cut"]) == set(sentences)
    for text in outcomes["changed"]:
        assert text in (*sentences, "decoded") or text.startswith("The avatar file has version")


@needs_browser
def test_a_lost_track_gets_a_sentence(site: Path, tmp_path: Path) -> None:
    write_page(tmp_path / "site", (site / BINARY).read_bytes(), read_track("talk"))
    (tmp_path / "site" / "track.json").unlink()
    with opened(tmp_path / "site") as page:
        page.evaluate(
            f"""(async () => {{
              const text = () => {HEAD}.shadowRoot.querySelector("[role=alert]").textContent;
              for (let i = 0; i < 100 && !text(); i++)
                await new Promise((done) => setTimeout(done, 100));
            }})()"""
        )
        text = page.evaluate(f"{HEAD}.shadowRoot.querySelector('[role=alert]').textContent")
        assert text == "The track could not be loaded: the server answered 404."
        assert page.evaluate(f"Boolean({HEAD}.avatar)"), "the avatar is shown without it"


@needs_browser
def test_a_page_plays_the_track_of_the_export(site: Path, tmp_path: Path) -> None:
    talk = read_track("talk")
    write_page(tmp_path / "site", (site / BINARY).read_bytes(), talk)
    with opened(tmp_path / "site") as page:
        for _ in range(50):
            if page.evaluate(f"{HEAD}.playback.playing"):
                break
            page.evaluate("new Promise((done) => setTimeout(done, 100))")
        page.evaluate(f"{HEAD}.pause(), {HEAD}.seek(40 / {talk.fps})")
        shown = page.evaluate(f"[...{HEAD}.flame.expression]")
        duration = page.evaluate(f"{HEAD}.playback.duration")
        assert page.errors() == []
    assert np.allclose(shown, talk.expression[40], atol=1e-4)
    assert duration == pytest.approx(len(talk) / talk.fps)


def test_the_page_is_marked_and_names_no_other_site(site: Path, tmp_path: Path) -> None:
    assert f'content="{TERM}"' in (site / PAGE).read_text()
    assert {path.name for path in site.iterdir()} == {PAGE, "viewer.js", BINARY}
    for name in (PAGE, "viewer.js"):
        assert "http:" not in (site / name).read_text().replace("http://www.w3.org", "")
        assert "https:" not in (site / name).read_text()
    write_page(tmp_path / "plain", b"", synthetic_mark=False)
    assert TERM not in (tmp_path / "plain" / PAGE).read_text()


def test_without_a_browser_the_stage_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert browser_obstacle() == NO_BROWSER


def test_a_program_that_is_no_browser_is_an_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "chromium"
    program.write_text("#!/bin/sh\necho missing library >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert "missing library" in browser_obstacle()


def test_a_browser_that_hangs_is_ended_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "chromium"
    program.write_text("#!/bin/sh\necho waiting\nexec sleep 600\n")
    program.chmod(0o755)
    monkeypatch.setattr(driver, "LIMIT", 1.0)
    with (
        pytest.raises(BrowserError, match="has not answered Target.createTarget within 1 s"),
        chromium(str(program)) as browser,
    ):
        browser.page()


@needs_browser
def test_the_element_works_in_a_page_of_ones_own(site: Path, tmp_path: Path) -> None:
    """The example of docs/web.md."""
    guide = (Path(__file__).parents[2] / "docs" / "web.md").read_text(encoding="utf-8")
    snippets = dict(re.findall(r"```(html|js)\n(.*?)```", guide, re.DOTALL))
    folder = tmp_path / "own"
    shutil.copytree(site, folder)
    (folder / PAGE).write_text(
        f"<!doctype html><link rel=icon href='data:,'><p>Hello</p>{snippets['html']}"
        f"<script>{snippets['js']}</script>"
    )
    with opened(folder) as page:
        shown = page.evaluate(
            f"[{HEAD}.flame.expression[{HEAD}.avatar.expressionNames.indexOf('mouthSmileLeft')],"
            f" {HEAD}.clientHeight]"
        )
        assert page.errors() == []
    assert shown == [pytest.approx(0.8), 480]
