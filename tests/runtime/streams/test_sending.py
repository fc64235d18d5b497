"""imavatar-send to a listening socket; packets on time, with a clock of the test."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from imavatar_deploy.errors import InputError
from imavatar_deploy.runtime.commands.send import send
from imavatar_deploy.runtime.streams import FlamePacket, decode
from imavatar_deploy.runtime.streams.sending import Channel, packets, send_on_time
from imavatar_deploy.tracks import FlameTrack, write_track

TRACK = FlameTrack(
    np.random.default_rng(0).random((4, 50)),
    0.1 * np.random.default_rng(1).normal(size=(4, 15)),
    fps=500.0,
    edition="openhead",
)


@pytest.fixture
def track(tmp_path: Path) -> str:
    write_track(TRACK, tmp_path / "track.json")
    return str(tmp_path / "track.json")


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.bind(("127.0.0.1", 0))
        own.setblocking(False)
        yield own


def call(*arguments: object) -> Result:
    return CliRunner().invoke(send, [str(argument) for argument in arguments])


def address(listener: socket.socket) -> str:
    return f"udp://:{listener.getsockname()[1]}"


def received(listener: socket.socket) -> list[FlamePacket]:
    """All packets so far; on one machine they arrive with the call that sends them."""
    packets_so_far = []
    while True:
        try:
            packets_so_far.append(decode(listener.recv(2000)))
        except BlockingIOError:
            return packets_so_far


def test_a_track_arrives_as_it_is(track: str, listener: socket.socket) -> None:
    result = call(track, "--to", address(listener))
    assert result.exit_code == 0, result.output
    for part in (
        "sent 4 packets (1.2 kB) to 127.0.0.1:",
        "a second\n",
        "took ",
        "next: imavatar-run sample",
    ):
        assert part in result.stdout
    assert "withheld" not in result.stdout
    arrivals = received(listener)
    assert [packet.sequence for packet in arrivals] == [0, 1, 2, 3]
    assert {packet.edition for packet in arrivals} == {"openhead"}
    np.testing.assert_allclose(np.diff([packet.time for packet in arrivals]), 1 / 500, atol=1e-6)
    np.testing.assert_allclose([packet.weights for packet in arrivals], TRACK.expression, atol=1e-6)
    np.testing.assert_allclose([packet.pose for packet in arrivals], TRACK.pose, atol=1e-6)


def test_parts_rates_and_loops(track: str, listener: socket.socket) -> None:
    for options, count in (
        (("--frames", "1:3"), 2),
        (("--fps", "1000"), 7),
        (("--loop", "--duration", "0.02"), 10),
        (("--duration", "0.004"), 2),
        (("--duration", "9"), 4),
    ):
        assert call(track, "--to", address(listener), *options).exit_code == 0
        arrivals = received(listener)
        assert [packet.sequence for packet in arrivals] == list(range(count)), options
    call(
        track,
        "--to",
        address(listener),
        "--frames",
        "2:",
        "--encoding",
        "int16",
        "--edition",
        "flame2023",
    )
    (first, _) = received(listener)
    assert first.edition == "flame2023"
    np.testing.assert_allclose(first.weights, TRACK.expression[2], atol=2e-5)


def test_a_bad_network_withholds_and_doubles_as_reported(
    track: str, listener: socket.socket
) -> None:
    bad = ("--loss", "0.3", "--burst", "2", "--duplicate", "0.2", "--jitter", "9ms", "--seed", "7")
    orders = []
    for _ in range(2):
        result = call(track, "--to", address(listener), "--loop", "--duration", "0.1", *bad)
        orders.append([packet.sequence for packet in received(listener)])
        arrived = set(orders[-1])
        report = f"withheld {50 - len(arrived)}, doubled {len(orders[-1]) - len(arrived)}"
        assert report in result.stdout
        assert f"sent {len(orders[-1])} packets" in result.stdout
    assert orders[0] == orders[1] != sorted(orders[0])
    assert 0 < len(arrived) < 50


def test_refused_packets_are_reported(track: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.bind(("127.0.0.1", 0))
        free = own.getsockname()[1]
    result = call(track, "--to", f"udp://127.0.0.1:{free}")
    assert result.exit_code == 0
    assert (
        "3 of them were refused, since no program listened: start the receiver first"
        in result.stderr
    )


def test_ctrl_c_ends_with_the_closing_line(
    track: str, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = []

    def interrupted(self: Channel, packet: bytes) -> None:
        if len(sent) == 5:
            raise KeyboardInterrupt
        sent.append(packet)
        self.packets += 1

    monkeypatch.setattr(Channel, "send", interrupted)
    result = call(track, "--to", address(listener), "--loop")
    assert result.exit_code == 130
    assert "sent 5 packets" in result.stdout
    assert "interrupted, no more packets are sent" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("absent.json",), 6, "no track file 'absent.json'"),
        (("talk", "--to", "http://:9000"), 2, "an address must be like udp://:9000"),
        (("talk", "--to", "udp://:0"), 2, "udp:// needs the port of the receiver"),
        (
            ("talk", "--to", "udp://255.255.255.255:9000"),
            2,
            "cannot send to UDP 255.255.255.255:9000",
        ),
        (("talk", "--frames", "3"), 2, "--frames must be like"),
        (("talk", "--fps", "0"), 2, "--fps must be more than 0"),
        (("talk", "--duration", "0"), 2, "--duration must be more than 0"),
        (("talk", "--edition", "flame2024"), 2, "did you mean 'flame2023'?"),
        (("talk", "--loss", "2"), 2, "loss must be between 0 and 1"),
        (("talk", "--jitter", "40"), 2, "jitter must be between 0 and 10 seconds, got 40"),
    ],
)
def test_mistakes_are_refused_in_one_sentence(
    arguments: tuple[str, ...], code: int, message: str
) -> None:
    result = call(*arguments)
    assert result.exit_code == code, result.output
    (sentence,) = result.stderr.strip().splitlines()
    assert message in sentence


def test_a_track_without_an_edition_asks_for_one(tmp_path: Path, listener: socket.socket) -> None:
    write_track(FlameTrack(np.zeros((1, 50)), np.zeros((1, 15))), tmp_path / "mute.json")
    arguments = (tmp_path / "mute.json", "--to", address(listener))
    assert "add --edition, one of flame2017" in call(*arguments).stderr
    assert call(*arguments, "--edition", "flame2020").exit_code == 0
    assert [packet.edition for packet in received(listener)] == ["flame2020"]


def test_packets_leave_at_their_moments_and_late_ones_at_once() -> None:
    clock = [100.0]
    left = []

    def wait(seconds: float) -> None:
        clock[0] += seconds

    def slowly(packet: bytes) -> None:
        left.append((clock[0], packet))
        clock[0] += 0.3

    arriving = [(0.0, b"a"), (1.0, b"b"), (1.1, b"c"), (2.0, b"d")]
    send_on_time(arriving, slowly, 100.0, now=lambda: clock[0], wait=wait)
    assert [packet for _, packet in left] == [b"a", b"b", b"c", b"d"]
    assert [moment for moment, _ in left] == pytest.approx([100.0, 101.0, 101.3, 102.0])


def test_loops_count_on() -> None:
    stream = list(islice(packets(TRACK, "openhead", encoding="float32", began=50.0, loop=True), 6))
    arrivals = [decode(packet) for _, packet in stream]
    assert [packet.sequence for packet in arrivals] == list(range(6))
    assert [packet.time - 50.0 for packet in arrivals] == pytest.approx([due for due, _ in stream])
    np.testing.assert_array_equal(arrivals[5].weights, TRACK.expression[1])


def test_a_network_that_is_gone_is_one_sentence() -> None:
    class Gone(socket.socket):
        def send(self, *_: object) -> int:
            raise OSError(101, "Network is unreachable")

    with (
        Gone(socket.AF_INET, socket.SOCK_DGRAM) as gone,
        pytest.raises(InputError, match="Network is unreachable"),
    ):
        Channel(gone).send(b"packet")


def test_help_teaches_by_example() -> None:
    text = call("--help").stdout
    for part in ("Examples:", "imavatar-send talk", "--source", "Exit codes"):
        assert part in text
