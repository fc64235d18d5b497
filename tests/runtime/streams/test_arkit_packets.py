"""Faces sent to other programs: our sources, and python-osc, read back what was sent."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from pythonosc.osc_bundle import OscBundle
from scipy.spatial.transform import Rotation

from imavatar_deploy.errors import UsageError
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.retarget import find_retarget
from imavatar_deploy.retarget.arkit import ARKIT, ARKIT_NAMES
from imavatar_deploy.runtime.commands.send import send
from imavatar_deploy.runtime.sources import PROTOCOLS
from imavatar_deploy.runtime.sources.observation import Inbox, Observation
from imavatar_deploy.runtime.sources.source import LiveSource
from imavatar_deploy.runtime.streams import decode
from imavatar_deploy.runtime.streams.arkit_packets import (
    BUNDLE_BYTES,
    PACKETS,
    PORTS,
    ArkitFace,
    arkit_face,
)
from imavatar_deploy.runtime.streams.sending import send_live
from imavatar_deploy.tracks import FlameTrack, read_track, write_track

PARSERS = {row.scheme: row.parser for row in PROTOCOLS}


def rotation(*vector: float) -> np.ndarray:
    x, y, z, w = Rotation.from_rotvec(vector).as_quat()
    return np.array([w, x, y, z])


def sent_face() -> ArkitFace:
    weights = np.random.default_rng(3).uniform(0.01, 0.99, 52).astype(np.float32)
    turns = np.stack([rotation(0.2, -0.4, 0.1), rotation(0.1, 0.2, 0), rotation(-0.1, 0.3, 0)])
    return ArkitFace(weights, turns, 2.5, 75)


def read_back(scheme: str, packets: list[bytes]) -> list[Observation]:
    parse = PARSERS[scheme]()
    return [observation for packet in packets for observation in parse(packet)]


@pytest.mark.parametrize("scheme", PACKETS)
def test_our_sources_read_back_what_was_sent(scheme: str) -> None:
    face = sent_face()
    (observation,) = read_back(scheme, PACKETS[scheme](face))
    np.testing.assert_allclose(observation.weights, face.weights, atol=1e-6)
    for first, turn in zip((0, 9, 12), face.turns, strict=True):
        expected = Rotation.from_quat(np.roll(turn, -1)).as_rotvec()
        np.testing.assert_allclose(observation.pose[first : first + 3], expected, atol=1e-5)
    assert observation.time == pytest.approx(2.5, abs=1e-6)
    assert PORTS[scheme] == {row.scheme: row.port for row in PROTOCOLS}[scheme]


def test_bundles_fit_into_an_ethernet_frame_and_python_osc_reads_them() -> None:
    bundles = PACKETS["osc"](sent_face())
    assert max(map(len, bundles)) <= BUNDLE_BYTES
    messages = [message for bundle in bundles for message in OscBundle(bundle)]
    names = [message.params[0] for message in messages if message.address.endswith("Blend/Val")]
    assert names == [*ARKIT_NAMES, "Blink_L", "Blink_R", "A"]
    assert messages[-1].address == "/VMC/Ext/Blend/Apply"


@pytest.mark.parametrize("scheme", PACKETS)
def test_a_face_of_openhead_comes_back_the_same(scheme: str) -> None:
    """Sent to a program and back to an avatar of OpenHead, by name."""
    head = HeadModel.load("openhead")
    rng = np.random.default_rng(5)
    expression = rng.uniform(0, 0.9, 50).astype(np.float32)
    pose = np.zeros(15, np.float32)
    pose[:3], pose[6], pose[9:11], pose[12:14] = (0.1, 0.3, -0.2), 0.2, (0.1, 0.2), (0.1, 0.15)
    face = arkit_face("openhead", expression, pose, 0.0, 0)
    (observation,) = read_back(scheme, PACKETS[scheme](face))
    retarget = find_retarget(ARKIT, "openhead", head.expression_names)
    shown, posed = retarget(observation.weights, observation.pose)
    np.testing.assert_allclose(shown, expression, atol=1e-6)
    np.testing.assert_allclose(posed, pose, atol=1e-5)


def test_codes_of_flame_are_refused() -> None:
    with pytest.raises(UsageError, match="are of flame2020, and other programs read ARKit"):
        arkit_face("flame2020", np.zeros(50, np.float32), np.zeros(15, np.float32), 0.0, 0)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        own.bind(("127.0.0.1", 0))
        own.setblocking(False)
        yield own


def received(listener: socket.socket) -> list[bytes]:
    packets = []
    while True:
        try:
            packets.append(listener.recv(4000))
        except BlockingIOError:
            return packets


def call(*arguments: object) -> Result:
    return CliRunner().invoke(send, [str(argument) for argument in arguments])


@pytest.mark.parametrize("scheme", PACKETS)
def test_the_command_sends_every_frame(listener: socket.socket, scheme: str) -> None:
    port = listener.getsockname()[1]
    result = call("talk", "--to", f"{scheme}://:{port}", "--frames", "0:6")
    assert result.exit_code == 0, result.output
    assert f"--source {scheme}://:{port}" in result.stdout
    faces = read_back(scheme, received(listener))
    track = read_track("talk")
    assert len(faces) == 6
    place = ARKIT_NAMES.index("mouthSmileLeft")
    expected = track.expression[
        :6, sorted({*ARKIT_NAMES} - {"jawOpen", "tongueOut"}).index("mouthSmileLeft")
    ]
    np.testing.assert_allclose([face.weights[place] for face in faces], expected, atol=1e-6)
    assert np.diff([face.time for face in faces]) == pytest.approx(
        np.full(5, 1 / track.fps), abs=1e-5
    )


def test_a_flame_track_is_refused_before_a_packet(tmp_path: Path, listener: socket.socket) -> None:
    path = tmp_path / "flame.json"
    write_track(FlameTrack(np.zeros((2, 50)), np.zeros((2, 15)), edition="flame2020"), path)
    result = call(path, "--to", f"osc://:{listener.getsockname()[1]}")
    assert result.exit_code == 2
    assert "send a track of openhead" in result.stderr
    assert not received(listener)


@pytest.mark.parametrize("scheme", ["udp", *PACKETS])
def test_a_live_source_is_passed_on(scheme: str) -> None:
    inbox = Inbox()
    weights = np.linspace(0, 0.5, 52).astype(np.float32)
    for _ in range(3):
        inbox.put(Observation(ARKIT, weights, np.zeros(15, np.float32)))
    inbox.ended.set()
    packets: list[bytes] = []
    send_live(LiveSource(inbox, 30.0, ARKIT, "a test"), scheme, "float32", packets.append, None)
    faces = (
        [decode(packet) for packet in packets] if scheme == "udp" else read_back(scheme, packets)
    )
    assert len(faces) == 3
    np.testing.assert_allclose(faces[0].weights, weights, atol=1e-6)


def test_options_of_a_track_are_refused_for_a_live_source() -> None:
    result = call("livelink://:0", "--to", "osc://:9", "--loop")
    assert result.exit_code == 2
    assert "livelink://:0 is live: leave out" in result.stderr
