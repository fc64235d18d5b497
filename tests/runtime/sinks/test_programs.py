"""`--sink osc://` and `livelink://`: our sources read back the faces that a run plays."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from imavatar_deploy.errors import UsageError
from imavatar_deploy.retarget.arkit import ARKIT_NAMES
from imavatar_deploy.retarget.openhead_codes import arkit_of_openhead
from imavatar_deploy.runtime.commands.run import run
from imavatar_deploy.runtime.sinks import Stream, open_sink
from imavatar_deploy.runtime.sources import PROTOCOLS
from imavatar_deploy.runtime.sources.observation import Observation
from imavatar_deploy.runtime.streams.arkit_packets import PACKETS
from imavatar_deploy.tracks import read_track

PARSERS = {row.scheme: row.parser for row in PROTOCOLS}
STREAM = Stream(48, 32, 25.0, edition="openhead")
IMAGE = np.zeros((32, 48, 4), np.uint8)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        own.bind(("127.0.0.1", 0))
        own.setblocking(False)
        yield own


def port_of(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


def faces(listener: socket.socket, scheme: str) -> list[Observation]:
    parse = PARSERS[scheme]()
    received = []
    while True:
        try:
            received += parse(listener.recv(4000))
        except BlockingIOError:
            return received


def play(*arguments: object) -> Result:
    return CliRunner().invoke(run, [str(argument) for argument in arguments])


@pytest.mark.parametrize("scheme", PACKETS)
def test_a_face_arrives_as_it_was_written(listener: socket.socket, scheme: str) -> None:
    expression = np.linspace(0, 0.9, 50).astype(np.float32)
    pose = np.zeros(15, np.float32)
    pose[1], pose[6] = 0.3, 0.2
    target = f"{scheme}://:{port_of(listener)}"
    with open_sink(target, STREAM) as sink:
        assert sink.write_face is not None
        for _ in range(2):
            sink.write_face(expression, pose)
            sink.write(IMAGE)
        assert sink.greeting == f"sending to {scheme}://127.0.0.1:{port_of(listener)}"
    assert sink.report() == f"{scheme}://127.0.0.1:{port_of(listener)}: 2 faces sent"
    first, second = faces(listener, scheme)
    np.testing.assert_allclose(first.weights, arkit_of_openhead(expression, pose)[0], atol=1e-6)
    np.testing.assert_allclose(first.pose[:3], pose[:3], atol=1e-5)
    assert first.time is not None
    assert second.time is not None
    assert 0 <= first.time <= second.time < 60


def test_a_run_forwards_what_it_plays_to_every_sink(
    tiny_avatar_folder: Path, listener: socket.socket, tmp_path: Path
) -> None:
    """OSC, Live Link and a video together; the faces are those of the recording, adjusted."""
    port = port_of(listener)
    column = sorted({*ARKIT_NAMES} - {"jawOpen", "tongueOut"}).index("mouthSmileLeft")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        other.setblocking(False)
        result = play(
            *(tiny_avatar_folder, "--source", "talk", "--frames", "0:8", "--size", 32),
            *("--sink", f"osc://:{port}", "--sink", f"livelink://127.0.0.1:{port_of(other)}"),
            *("--sink", tmp_path / "talk.mp4", "--adjust", f"expression{column}=0.5"),
        )
        assert result.exit_code == 0, result.output
        by_scheme = {"osc": faces(listener, "osc"), "livelink": faces(other, "livelink")}
    assert (tmp_path / "talk.mp4").is_file()
    assert f"osc://127.0.0.1:{port}: {len(by_scheme['osc'])} faces sent" in result.stdout
    place = ARKIT_NAMES.index("mouthSmileLeft")
    track = read_track("talk").select(slice(0, 8))
    expected = np.clip(0.5 * track.expression[:, column], 0, 1)
    for scheme, received in by_scheme.items():
        assert 1 <= len(received) <= 8, scheme
        for face in received:  # a slow machine skips frames, and invents none
            assert np.abs(expected - face.weights[place]).min() < 1e-6


def test_no_face_is_sent_before_one_came(tiny_avatar_folder: Path, listener: socket.socket) -> None:
    result = play(
        *(tiny_avatar_folder, "--source", "livelink://:0", "--size", 32, "--duration", "0.3s"),
        *("--sink", f"osc://:{port_of(listener)}"),
    )
    assert result.exit_code == 6
    assert not faces(listener, "osc")


def test_a_receiver_that_does_not_listen_is_reported() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = port_of(probe)
    with open_sink(f"osc://:{port}", STREAM) as sink:
        assert sink.write_face is not None
        for _ in range(3):
            sink.write_face(np.zeros(50, np.float32), np.zeros(15, np.float32))
            time.sleep(0.02)  # the refusal of a packet comes back
    assert "3 faces sent" in sink.report()
    assert "packets were refused, since no program listened" in sink.report()


@pytest.mark.parametrize(
    ("edition", "reason"), [("flame2020", "are of flame2020"), (None, "have no head model")]
)
def test_other_codes_are_refused_at_the_start(edition: str | None, reason: str) -> None:
    message = f"the faces of this run {reason}, .* imavatar-send SOURCE --to osc://127.0.0.1:9"
    with (
        pytest.raises(UsageError, match=message),
        open_sink("osc://:9", Stream(48, 32, 25.0, edition=edition)),
    ):
        pytest.fail("it opened")


def test_a_port_is_required(tiny_avatar_folder: Path) -> None:
    result = play(tiny_avatar_folder, "--source", "talk", "--sink", "osc://:0")
    assert result.exit_code == 2
    assert "osc:// needs the port of the receiver, such as 39539" in result.stderr


@pytest.mark.parametrize(
    ("source", "sink"),
    [
        ("osc://:39539", "osc://"),
        ("osc://0.0.0.0:7000", "osc://localhost:7000"),
        ("livelink://:11111", "livelink://:11111"),
    ],
)
def test_a_run_does_not_send_to_itself(tiny_avatar_folder: Path, source: str, sink: str) -> None:
    result = play(tiny_avatar_folder, "--source", source, "--sink", sink)
    assert result.exit_code == 2
    assert f"--sink {sink} would send to --source {source}" in result.stderr
