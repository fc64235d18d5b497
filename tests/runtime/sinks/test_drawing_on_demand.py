"""A run in real time draws what a sink needs: every image, or those for clients of the page."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest

from imavatar_deploy import progress
from imavatar_deploy.runtime import Player
from imavatar_deploy.runtime.live import play as play_module
from imavatar_deploy.runtime.live.config import LiveConfig
from imavatar_deploy.runtime.live.play import PlayConfig, PlayResult, play
from imavatar_deploy.runtime.live.render_loop import AtOnce, FrameCounts, Viewpoint, run_loop
from imavatar_deploy.runtime.sinks import Stream
from imavatar_deploy.runtime.sinks.http.screen import Screen
from imavatar_deploy.runtime.sinks.sink import Controls, Image
from imavatar_deploy.runtime.sources import Selection, Source
from imavatar_deploy.runtime.sources.track import source_of
from imavatar_deploy.tracks import FlameFrame, FlameTrack

LIMIT = 30.0
"""Seconds for a state to be reached."""


def wait(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT
    while not reached():
        assert time.monotonic() < deadline, "the state is not reached"
        time.sleep(0.02)


# The loop


def test_a_frame_that_no_sink_needs_is_sent_and_not_drawn(tiny_avatar_folder: Path) -> None:
    needed = iter([False, False, True, True, False])
    shown: list[int] = []
    sent: list[int] = []
    frames = FrameCounts()
    motion = (FlameFrame(np.eye(50)[0] * index, np.zeros(15)) for index in range(5))
    with Player(tiny_avatar_folder, size=16, threads=1) as player:
        driver = LiveConfig().open_driver(Source(motion, 25.0, "openhead", 5), player.avatar)
        run_loop(
            Viewpoint(player, Controls(), follow=True),
            driver,
            AtOnce(25.0),
            lambda tick, image: shown.append(tick),
            frames,
            send=lambda state: sent.append(int(state.expression[0])),
            needed=lambda: next(needed),
        )
    assert shown == [2, 3]
    assert sent == [0, 1, 2, 3, 4]
    assert (frames.drawn, frames.undrawn, frames.played, frames.sent) == (2, 3, 5, 5)
    assert len(frames.latency) == 2, "a frame that is not drawn has no latency"


# The screen


def image(shade: int) -> Image:
    return np.full((8, 8, 4), shade, np.uint8)


def test_images_are_needed_from_the_frame_after_a_client_came_until_the_last_one_left() -> None:
    screen = Screen(Stream(8, 8, 25.0))
    assert not screen.needs_image()
    with screen.client():
        assert screen.needs_image()
        with screen.client():
            assert screen.needs_image()
        assert screen.needs_image()
    assert not screen.needs_image()
    assert (screen.frames, screen.number) == (2, 0), "frames that are drawn count when they come"


def test_a_client_never_gets_a_frame_from_before_the_run_stopped_drawing() -> None:
    async def conversation() -> list[int]:
        screen = Screen(Stream(8, 8, 25.0))
        screen.attach(asyncio.get_running_loop())
        shades = []
        screen.show(image(10))
        with screen.client() as number:  # the newest frame is up to date
            jpeg = await screen.next_jpeg(number, 10)
            assert jpeg is not None
            shades.append(shade_of(jpeg[1]))
        assert not screen.needs_image()
        with screen.client() as number:
            assert await screen.next_jpeg(number, 0.05) is None
            assert await screen.png(number, 0.05) is None
            screen.show(image(200))
            jpeg = await screen.next_jpeg(number, 10)
            png = await screen.png(number, 10)
            assert jpeg is not None
            assert png is not None
            shades += [shade_of(jpeg[1]), shade_of(png)]
        return shades

    # the pixels are partly transparent, over white
    first, second, third = asyncio.run(asyncio.wait_for(conversation(), LIMIT))
    assert first > 240
    assert second < 230
    assert third == 200


def shade_of(data: bytes) -> int:
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert decoded is not None
    return int(decoded[4, 4, 0])


# Whole runs


@dataclass
class Run:
    """A run in a thread."""

    port: int = 0
    images: list[float] = field(default_factory=list)
    """Times at which frames were drawn."""
    results: list[PlayResult] = field(default_factory=list)

    def get(self, path: str) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)
        connection.request("GET", path)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        assert answer.status == 200, data
        return data

    def metric(self, name: str) -> float:
        match = re.search(rf"^imavatar_{name} (\S+)$", self.get("/metrics").decode(), re.MULTILINE)
        assert match, name
        return float(match[1])

    def figures(self) -> dict[str, float]:
        return json.loads(self.get("/stats.json"))["figures"]

    def draws(self) -> bool:
        """Whether frames were drawn while 10 were played."""
        before, drawn = self.metric("frames_total"), len(self.images)
        wait(lambda: self.metric("frames_total") > before + 10)
        return len(self.images) > drawn


@contextmanager
def running(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *sinks: str, draw_always: bool = False
) -> Iterator[Run]:
    """Play a track again and again at 25 frames a second behind a page, and into other sinks."""
    run = Run()
    told: list[str] = []
    monkeypatch.setattr(play_module, "tell", told.append)
    draw = Viewpoint.draw

    def counted(view: Viewpoint, *args: object) -> Image:
        run.images.append(time.monotonic())
        return draw(view, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Viewpoint, "draw", counted)
    controls: list[Controls] = []
    stream = PlayConfig.stream

    def kept(config: PlayConfig, *args: object) -> Stream:
        made = stream(config, *args)  # type: ignore[arg-type]
        controls.append(made.controls)
        return made

    monkeypatch.setattr(PlayConfig, "stream", kept)
    track = FlameTrack(np.zeros((50, 50)), np.zeros((50, 15)), fps=25.0, edition="openhead")
    config = PlayConfig(("http://127.0.0.1:0", *sinks), draw_always=draw_always)

    def work() -> None:
        source = source_of(track, Selection(loop=True))
        with Player(folder, size=16, threads=1) as player:
            driver = LiveConfig().open_driver(source, player.avatar)
            run.results.append(play(player, source, driver, config, progress.silent))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        wait(lambda: any("page: " in line for line in told))
        (greeting,) = [line for line in told if "page: " in line]
        match = re.search(r":(\d+) ", greeting)
        assert match
        run.port = int(match[1])
        yield run
    finally:
        for each in controls:
            each.stopped = True
        thread.join(LIMIT)


def test_a_run_draws_while_a_client_of_the_page_gets_pictures(
    tiny_avatar_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tiny_avatar_folder, monkeypatch) as run:
        assert not run.draws()
        assert run.metric("pictures_total") == 0
        assert json.loads(run.get("/health"))["status"] == "ok"
        with ExitStack() as stack:
            for _ in range(2):
                connection = http.client.HTTPConnection("127.0.0.1", run.port, timeout=LIMIT)
                stack.callback(connection.close)
                began = time.monotonic()
                connection.request("GET", "/stream.mjpg")
                answer = connection.getresponse()
                stack.callback(answer.close)
                while b"Content-Length" not in answer.readline():
                    """Skip the boundary."""
            assert run.draws()
            assert run.metric("viewers") == 2
        wait(lambda: run.metric("viewers") == 0)
        wait(lambda: not run.draws())
        assert run.images[0] < began, "the first of the two made the run draw"
        assert run.get("/frame.jpg").startswith(b"\xff\xd8")
        assert run.get("/frame.png").startswith(b"\x89PNG")
        wait(lambda: not run.draws())
        figures = run.figures()
        assert figures["drawn"] == len(run.images) < figures["sent"]
        assert figures["frames a second"] > figures["drawn"] / figures["seconds"]
    (result,) = run.results
    frames = result.frames
    assert frames.drawn == len(run.images)
    assert frames.played == frames.sent == frames.drawn + frames.undrawn
    text = "\n".join(result.lines)
    assert re.search(rf"played {frames.played} frames at [\d.]+ a second, \d+ left out", text)
    assert f"drew {frames.drawn} of them, and sent the motion of {frames.sent}: no sink" in text


@pytest.mark.parametrize("draw_always", [False, True])
def test_a_sink_of_images_and_a_budget_need_every_frame(
    tiny_avatar_folder: Path, monkeypatch: pytest.MonkeyPatch, draw_always: bool
) -> None:
    sinks = () if draw_always else ("null",)
    with running(tiny_avatar_folder, monkeypatch, *sinks, draw_always=draw_always) as run:
        assert run.draws()
    (result,) = run.results
    assert result.frames.undrawn == 0
    assert result.frames.drawn == len(run.images) == len(result.frames.latency)
    assert any(line.startswith(f"drew {result.frames.drawn} frames at") for line in result.lines)


def test_a_face_for_another_program_is_not_drawn(
    tiny_avatar_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tiny_avatar_folder, monkeypatch, "osc://127.0.0.1:9") as run:
        assert not run.draws()
    assert not run.images
