"""A whole run in real time: from the socket to the file, over a bad network, by the Python API."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from click.testing import CliRunner

from imavatar_deploy.errors import EditionMismatchError, InputError, UsageError
from imavatar_deploy.retarget.arkit import ARKIT, ARKIT_NAMES
from imavatar_deploy.runtime import Player
from imavatar_deploy.runtime.commands.run import run
from imavatar_deploy.runtime.live.api import listen, run_live
from imavatar_deploy.runtime.live.config import LiveConfig
from imavatar_deploy.runtime.live.drivers import LiveDriver
from imavatar_deploy.runtime.live.render_loop import warm_up
from imavatar_deploy.runtime.sources import LiveSource
from imavatar_deploy.runtime.sources.observation import Inbox, Observation
from imavatar_deploy.runtime.streams.bad_network import BadNetwork
from imavatar_deploy.runtime.streams.flame_packet import encode
from imavatar_deploy.tracks import FlameTrack, write_track

SHAKE_HERTZ = 1.5
"""Frequency of the head-shake, Hz."""


def nodding(seconds: float) -> np.ndarray:
    pose = np.zeros(15)
    pose[1] = 0.4 * np.sin(2 * np.pi * SHAKE_HERTZ * seconds)
    return pose


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def sending(
    port: int, network: BadNetwork | None = None, edition: str = "openhead"
) -> Iterator[None]:
    """A thread that sends a shaking head at 100 a second through a network."""
    over = threading.Event()

    def send() -> None:
        began = time.monotonic()
        sequence = 0
        due: list[tuple[float, bytes]] = []
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            while not over.wait(0.01):
                now = time.monotonic()
                packet = encode(
                    edition, np.zeros(50), nodding(now - began), time=now, sequence=sequence
                )
                sequence += 1
                due += [(now + delay, packet) for delay in (network.delays() if network else [0.0])]
                for _, ready in [one for one in due if one[0] <= now]:
                    out.sendto(ready, ("127.0.0.1", port))
                due = [one for one in due if one[0] > now]

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(10)


def test_from_the_socket_to_the_file(tiny_avatar_folder: Path, tmp_path: Path) -> None:
    port = free_port()
    out = tmp_path / "out.mp4"
    arguments = [
        str(tiny_avatar_folder),
        "--source",
        f"udp://:{port}",
        "--sink",
        str(out),
        "--size",
        "16",
    ]
    with sending(port):
        result = CliRunner().invoke(
            run, [*arguments, "--fps", "50", "--duration", "0.4s", "--head", "neck"]
        )
    assert result.exit_code == 0, result.output
    assert f"UDP 127.0.0.1:{port}" in result.stdout
    assert ": received" in result.stdout
    assert "capture to picture: p50" in result.stdout
    with av.open(str(out)) as container:
        assert 15 <= len(list(container.decode(video=0))) <= 20


def test_without_a_sender(tiny_avatar_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    arguments = [
        str(tiny_avatar_folder),
        "--source",
        f"udp://:{free_port()}",
        "--sink",
        str(out),
        "--size",
        "16",
    ]
    result = CliRunner().invoke(run, [*arguments, "--duration", "0.1s"])
    assert result.exit_code == 6
    assert "no face was received" in result.stderr
    assert "nothing came" in result.stderr
    assert not out.exists()


def test_a_stream_of_another_head_model_is_reported(tiny_avatar_folder: Path) -> None:
    port = free_port()
    arguments = [
        str(tiny_avatar_folder),
        "--source",
        f"udp://:{port}",
        "--sink",
        "null",
        "--size",
        "16",
    ]
    with sending(port, edition="flame2020"):
        result = CliRunner().invoke(run, [*arguments, "--duration", "0.2s"])
        assert result.exit_code == 6
        assert "foreign" in result.stderr
        assert "--any-edition" in result.stderr
        assert (
            CliRunner().invoke(run, [*arguments, "--duration", "0.2s", "--any-edition"]).exit_code
            == 0
        )


def test_a_bad_network_shows_no_jump(tiny_avatar_folder: Path) -> None:
    """Loss 20 %, jitter 40 ms, duplicates and bursts over a socket: the head moves smoothly."""
    port = free_port()
    angles = []
    times = []
    network = BadNetwork(loss=0.2, jitter=0.04, duplicate=0.1, burst=2.0, seed=3)
    with (
        Player(tiny_avatar_folder, size=16, threads=1) as player,
        sending(port, network),
        listen(f"udp://:{port}", player.avatar) as tracker,
    ):
        began = time.monotonic()
        while time.monotonic() - began < 0.9:
            now = time.monotonic()
            state = tracker.pose_at(now)
            assert state is not None
            if state.captured is not None and now - began > 0.2:
                angles.append(float(state.pose[1]))
                times.append(now)
            time.sleep(0.005)
    assert len(angles) > 30
    assert np.isfinite(angles).all()
    assert np.ptp(angles) > 0.4
    speed = np.diff(angles) / np.diff(times)
    assert (
        np.abs(speed).max() < 3 * 0.4 * 2 * np.pi * SHAKE_HERTZ
    )  # the clean motion's own greatest is a third of that


def test_a_loop_of_one_s_own_with_one_s_own_tracker(tiny_avatar_folder: Path) -> None:
    inbox = Inbox()
    weights = np.float32([name == "mouthSmileLeft" for name in ARKIT_NAMES])
    with Player(tiny_avatar_folder, size=16) as player, listen(inbox, player.avatar) as tracker:
        first = tracker.pose_at(100.0)
        assert first is not None
        assert first.captured is None
        for index in range(40):
            inbox.put(
                Observation(ARKIT, weights, np.zeros(15), index / 60, index),
                arrived=100.0 + index / 60,
            )
            state = tracker.pose_at(100.0 + index / 60)
        assert state is not None
        names = player.avatar.expression_names
        if "mouthSmileLeft" in names:
            assert state.expression[names.index("mouthSmileLeft")] == pytest.approx(1.0, abs=0.01)
        inbox.ended.set()
        assert tracker.pose_at(101.0) is None


def test_what_ended_the_source_is_reported(tiny_avatar_folder: Path) -> None:
    inbox = Inbox()
    with Player(tiny_avatar_folder, size=16) as player, listen(inbox, player.avatar) as tracker:
        inbox.error = InputError("the camera was unplugged")
        inbox.ended.set()
        with pytest.raises(InputError, match="unplugged"):
            tracker.pose_at()


def test_a_callback_sees_every_picture_and_may_end_it(
    tiny_avatar_folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "track.json"
    write_track(
        FlameTrack(np.zeros((50, 50)), np.zeros((50, 15)), fps=50.0, edition="openhead"), path
    )
    shapes: list[tuple[int, ...]] = []

    def show(image: np.ndarray) -> bool:
        shapes.append(image.shape)
        return len(shapes) < 5

    frames = run_live(tiny_avatar_folder, str(path), show, fps=100, size=(24, 16))
    assert shapes == [(16, 24, 4)] * 5
    assert frames.drawn == 5


def test_the_neutral_face_is_found_kept_and_used_again(
    tiny_avatar_folder: Path, tmp_path: Path
) -> None:
    choices = LiveConfig(neutral=tmp_path / "neutral.json", calibrate=0.2)
    resting = np.zeros(50)
    resting[3] = 0.5
    with Player(tiny_avatar_folder, size=16) as player:
        for chosen in (choices, LiveConfig(neutral=choices.neutral)):
            inbox = Inbox()
            with listen(inbox, player.avatar, chosen) as tracker:
                for index in range(60):
                    inbox.put(
                        Observation("openhead", resting, np.zeros(15), index / 60),
                        arrived=7 + index / 60,
                    )
                    state = tracker.pose_at(7 + index / 60)
                assert state is not None
                np.testing.assert_allclose(state.expression, 0, atol=1e-3)
                chosen.keep(tracker)
    assert choices.neutral is not None
    assert choices.neutral.is_file()


def test_a_recording_of_another_head_model_needs_a_word(
    tiny_avatar_folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "flame.json"
    write_track(FlameTrack(np.ones((1, 50)), np.zeros((1, 15)), fps=0.5, edition="flame2020"), path)
    with Player(tiny_avatar_folder, size=16) as player:
        with (
            pytest.raises(EditionMismatchError, match="--any-edition"),
            listen(str(path), player.avatar),
        ):
            pytest.fail("it listened")
        with listen(
            str(path),
            player.avatar,
            LiveConfig(any_edition=True, adjustments=("1=0.5", "2=0:0.25")),
        ) as recorded:
            state = recorded.pose_at(0.0)
    assert state is not None
    np.testing.assert_allclose(state.expression[:4], [1, 0.5, 0.25, 1])


def stream_of(player: Player, choices: LiveConfig | None = None) -> tuple[Inbox, LiveDriver]:
    inbox = Inbox()
    source = LiveSource(inbox, 60.0, None, "an inbox")
    driver = (choices or LiveConfig()).open_driver(source, player.avatar)
    assert isinstance(driver, LiveDriver)
    return inbox, driver


def test_a_face_that_is_held_has_no_latency(tiny_avatar_folder: Path) -> None:
    with Player(tiny_avatar_folder, size=16) as player:
        inbox, tracker = stream_of(player)
        fresh = []
        for index in range(600):  # one second of faces, then nine of silence
            now = 50 + index / 60
            if index < 60:
                inbox.put(
                    Observation("openhead", np.zeros(50), nodding(index / 60), index / 60),
                    arrived=now,
                )
            state = tracker.pose_at(now)
            assert state is not None
            fresh.append(state.fresh)
    assert all(fresh[:60])
    assert not any(fresh[80:])
    assert tracker.states["relaxing"] > 300


@pytest.mark.parametrize(
    ("vocabulary", "sent", "shown_as"), [(ARKIT, 60.0, 1.0), ("openhead", 50.0, 1.5)]
)
def test_what_no_face_can_be_is_limited(
    tiny_avatar_folder: Path, vocabulary: str, sent: float, shown_as: float
) -> None:
    with Player(tiny_avatar_folder, size=16) as player:
        inbox, tracker = stream_of(player)
        for index in range(60):
            weights = np.full(52 if vocabulary == ARKIT else 50, sent)
            inbox.put(
                Observation(vocabulary, weights, np.zeros(15), index / 60), arrived=50 + index / 60
            )
            state = tracker.pose_at(50 + index / 60)
        assert state is not None
        assert state.expression.max() == pytest.approx(shown_as, abs=1e-3)
        assert inbox.counts["limited"] == 60


def test_what_is_for_streams_is_refused_for_recordings(
    tiny_avatar_folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "track.json"
    write_track(FlameTrack(np.ones((1, 50)), np.zeros((1, 15)), edition="openhead"), path)
    with Player(tiny_avatar_folder, size=16) as player:
        for choices in (
            LiveConfig(calibrate=1.0),
            LiveConfig(latency=0.1),
            LiveConfig(smoothing=None),
            LiveConfig(dropout="hold"),
        ):
            with (
                pytest.raises(UsageError, match="a tracker's stream"),
                listen(path, player.avatar, choices),
            ):
                pytest.fail("it listened")
        with (
            pytest.raises(InputError, match="no neutral face"),
            listen(path, player.avatar, LiveConfig(neutral=tmp_path / "absent.json")),
        ):
            pytest.fail("it listened")


def test_calibration_reports_its_outcome(tiny_avatar_folder: Path, tmp_path: Path) -> None:
    with Player(tiny_avatar_folder, size=16) as player:
        for seconds, message in ((0.1, "now stored in"), (5.0, "no face at rest was found")):
            chosen = LiveConfig(calibrate=seconds, neutral=tmp_path / "neutral.json")
            inbox, tracker = stream_of(player, chosen)
            for index in range(30):
                inbox.put(
                    Observation("openhead", np.zeros(50), np.zeros(15), index / 60),
                    arrived=50 + index / 60,
                )
                tracker.pose_at(50 + index / 60)
            assert message in chosen.keep(tracker)


@pytest.mark.parametrize(
    ("timing", "message"),
    [
        ({"fps": 0}, "frames a second must be more"),
        ({"fps": "x"}, "fps must be a number of frames a second, got 'x'"),
    ]
    + [
        ({"duration": seconds}, "a duration must be more than 0")
        for seconds in (0, -1, float("nan"), float("inf"))
    ],
)
def test_impossible_times_are_refused(
    tiny_avatar_folder: Path, timing: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        run_live(tiny_avatar_folder, "talk", print, size=16, **timing)


def test_what_came_while_it_was_made_ready_is_old(tiny_avatar_folder: Path) -> None:
    inbox = Inbox()
    inbox.put(Observation("openhead", np.zeros(50), np.zeros(15), 0.0))
    with Player(tiny_avatar_folder, size=16) as player:
        warm_up(player, inbox)
    assert inbox.take() == []
