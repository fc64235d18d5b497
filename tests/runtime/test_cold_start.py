"""A slow first frame, as when kernels compile, is in no latency, rate, budget or duration."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from imavatar_deploy.errors import InputError
from imavatar_deploy.rendering.cpu_renderer import CpuRenderer
from imavatar_deploy.runtime import Player, listen, run_live
from imavatar_deploy.runtime.bench.command import bench
from imavatar_deploy.runtime.commands.run import run
from imavatar_deploy.runtime.live.config import LiveConfig
from imavatar_deploy.runtime.live.play import PlayConfig, PlayResult, play
from imavatar_deploy.runtime.sources import LiveSource
from imavatar_deploy.runtime.sources.observation import Inbox, Observation
from imavatar_deploy.tracks import FlameTrack, write_track

FIRST_FRAME_SECONDS = 2.0
"""Time of the first frame of every player here, seconds."""


@pytest.fixture
def slow_start(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: set[int] = set()
    render = CpuRenderer.render

    def slowly(self: CpuRenderer, *arguments: Any) -> Any:
        if id(self) not in drawn:
            drawn.add(id(self))
            time.sleep(FIRST_FRAME_SECONDS)
        return render(self, *arguments)

    monkeypatch.setattr(CpuRenderer, "render", slowly)


@pytest.fixture
def track(tmp_path: Path) -> Path:
    path = tmp_path / "track.json"
    still = np.zeros((8, 50)), np.zeros((8, 15))
    write_track(FlameTrack(*still, fps=25.0, edition="openhead"), path)
    return path


def face(number: int = 0) -> Observation:
    return Observation("openhead", np.full(50, number / 100), np.zeros(15), number / 50, number)


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    """An inbox that is filled fifty times a second, before the player is opened as well."""
    inbox = Inbox()
    over = threading.Event()

    def fill() -> None:
        number = 0
        while not over.wait(0.02):
            inbox.put(face(number))
            number += 1

    thread = threading.Thread(target=fill)
    thread.start()
    yield inbox
    over.set()
    thread.join(timeout=30)


def played(folder: Path, inbox: Inbox, config: PlayConfig) -> PlayResult:
    source = LiveSource(inbox, 60.0, None, "an inbox")
    with Player(folder, size=16, threads=1) as player:
        return play(player, source, LiveConfig().open_driver(source, player.avatar), config)


@pytest.mark.usefixtures("slow_start")
def test_a_recording_s_budget_is_without_it(tiny_avatar_folder: Path, track: Path) -> None:
    arguments = [str(tiny_avatar_folder), "--source", str(track), "--sink", "null", "--size", "16"]
    result = CliRunner().invoke(run, [*arguments, "--budget", f"{FIRST_FRAME_SECONDS / 2}s"])
    assert result.exit_code == 0, result.output
    (rate,) = re.findall(r"drew 8 frames at ([\d.]+) a second", result.stdout)
    assert float(rate) > 8 / FIRST_FRAME_SECONDS


@pytest.mark.usefixtures("slow_start")
def test_a_live_run_is_without_it(tiny_avatar_folder: Path, inbox: Inbox) -> None:
    outcome = played(tiny_avatar_folder, inbox, PlayConfig(["null"], fps=50.0, duration=0.4))
    assert outcome.frames.drawn > outcome.frames.faceless
    assert outcome.frames.drawn > 3
    assert outcome.frames.latency.percentile(99) < FIRST_FRAME_SECONDS / 2
    (rate,) = re.findall(r"drew \d+ frames at ([\d.]+) a second", "\n".join(outcome.lines))
    assert outcome.frames.drawn / float(rate) < FIRST_FRAME_SECONDS / 2  # seconds
    assert inbox.counts["early"] > 3


@pytest.mark.usefixtures("slow_start")
def test_a_callback_s_latency_is_without_it(tiny_avatar_folder: Path, inbox: Inbox) -> None:
    began = time.monotonic()
    first = []

    def show(image: np.ndarray) -> None:
        first.append(time.monotonic() - began)

    frames = run_live(tiny_avatar_folder, inbox, show, fps=50, duration=0.4, size=16, threads=1)
    assert len(frames.latency) > 3
    assert frames.latency.percentile(99) < FIRST_FRAME_SECONDS / 2
    assert first[0] > FIRST_FRAME_SECONDS
    assert inbox.counts["early"] > 3


@pytest.mark.usefixtures("slow_start")
def test_a_loop_of_one_s_own_is_without_it(tiny_avatar_folder: Path, inbox: Inbox) -> None:
    with Player(tiny_avatar_folder, size=16, threads=1) as player:
        player.warm_up()
        with listen(inbox, player.avatar) as tracker:
            ages = []
            for _ in range(20):
                face = tracker.pose_at()
                assert face is not None
                player.render(face.expression, face.pose)
                if face.captured is not None:
                    ages.append(time.monotonic() - face.captured)
                time.sleep(0.01)
    assert ages
    assert max(ages) < FIRST_FRAME_SECONDS / 2


@pytest.mark.usefixtures("slow_start")
def test_a_bench_is_without_it(tiny_avatar_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    arguments = [str(tiny_avatar_folder), "--size", "16", "--frames", "4", "--json", str(out)]
    result = CliRunner().invoke(bench, arguments)
    assert result.exit_code == 0, result.output
    figures = json.loads(out.read_text(encoding="utf-8"))
    assert figures["milliseconds"]["total"]["p99"] < 1e3 * FIRST_FRAME_SECONDS / 2
    assert figures["frames_per_second"] > 4 / FIRST_FRAME_SECONDS


def test_faces_that_came_too_early_are_told(tiny_avatar_folder: Path) -> None:
    inbox = Inbox()
    for number in range(5):
        inbox.put(face(number))
    with pytest.raises(
        InputError, match=r"5 packets with a face came and none was drawn"
    ) as caught:
        played(tiny_avatar_folder, inbox, PlayConfig(["null"], fps=50.0, duration=0.1))
    assert "before the first frame could be drawn" in str(caught.value)
    assert "received 5, early 5" in str(caught.value)


def test_faces_that_came_too_late_are_told(tiny_avatar_folder: Path) -> None:
    class Late(Inbox):
        looks = 0

        def take(self) -> list[Any]:
            """Empty at the first tick; the second is beyond the end."""
            taken = super().take()
            self.looks += 1
            if self.looks > 1:  # the first is that of the warm-up
                self.put(face())
            return taken

    with pytest.raises(InputError, match="with a face came and none was drawn in time") as caught:
        played(tiny_avatar_folder, Late(), PlayConfig(["null"], fps=1.0, duration=0.5))
    assert "--duration" in str(caught.value)


def test_faces_that_cannot_be_shown_are_told(tiny_avatar_folder: Path) -> None:
    class Foreign(Inbox):
        def take(self) -> list[Any]:
            self.put(Observation("flame2020", np.zeros(50), np.zeros(15), 0.0, 0))
            return super().take()

    with pytest.raises(InputError, match=r"and none of them can be shown.*--any-edition"):
        played(tiny_avatar_folder, Foreign(), PlayConfig(["null"], fps=50.0, duration=0.1))


COMPILES = """
import sys
import numpy as np
from numba.core import event
from imavatar_deploy.camera import Camera
from imavatar_deploy.runtime import Player

compiled = []

class Listener(event.Listener):
    def on_start(self, entry): ...
    def on_end(self, entry): compiled.append(entry)

event.register("numba:compile", Listener())
for shading in ("student", "vertex", "pixel"):
    with Player(sys.argv[1], size=32, shading=shading) as player:
        player.warm_up()
        before = len(compiled)
        assert before, "the cache was not empty"
        moving = np.full(50, 0.1), np.full(15, 0.1)
        player.render(*moving)
        player.render(*moving, Camera.looking_at([0.5, 0.0, 0.0], extent=3.0))
        player.render_timed(*moving)
        assert len(compiled) == before, f"{shading} compiled in its first frame"
"""


@pytest.mark.slow
def test_no_frame_compiles_after_the_warm_up(tiny_avatar_folder: Path, tmp_path: Path) -> None:
    """With an empty cache, as after an installation."""
    done = subprocess.run(
        [sys.executable, "-c", COMPILES, str(tiny_avatar_folder)],
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
