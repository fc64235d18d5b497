"""The receiver over real sockets of this machine: packets accepted, counted and bounded; errors."""

from __future__ import annotations

import errno
import re
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from itertools import count

import numpy as np
import pytest

from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.runtime.sources import (
    PROTOCOLS,
    SOURCES,
    LiveSource,
    Selection,
    flame_udp,
    receiver,
    udp,
)
from imavatar_deploy.runtime.sources.observation import INBOX_CAPACITY, Observation
from imavatar_deploy.runtime.sources.source import Parser, Protocol
from imavatar_deploy.runtime.streams import encode
from imavatar_deploy.runtime.streams.flame_packet import MOST_BYTES

Address = tuple[str, int]
FACE = np.linspace(-1, 1, 50), np.linspace(-0.5, 0.5, 15)
TIMEOUT_SECONDS = 20.0
"""Time limit, seconds, far beyond the slowest machine."""


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true"
        time.sleep(0.001)


def packet(number: int) -> bytes:
    return encode("openhead", *FACE, time=number / 60, sequence=number)


def opened(protocol: Protocol, target: str) -> AbstractContextManager[LiveSource]:
    source = udp.datagram_format(protocol).open(target, Selection())
    return source  # type: ignore[return-value]


def address_of(source: LiveSource) -> Address:
    match = re.match(r"UDP (?:\[(.+)\]|([\d.]+)):(\d+)", source.listening)
    assert match, source.listening
    return match[1] or match[2], int(match[3])


@contextmanager
def sender(port: int = 0) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.bind(("127.0.0.1", port))
        own.settimeout(TIMEOUT_SECONDS)
        yield own


@contextmanager
def talking(
    protocol: Protocol = flame_udp.PROTOCOL,
) -> Iterator[tuple[LiveSource, Callable[[bytes], object]]]:
    """A source, and a function that sends to it."""
    with opened(protocol, f"{protocol.scheme}://:0") as source, sender() as own:
        yield source, lambda data: own.sendto(data, address_of(source))


def counts(source: LiveSource) -> dict[str, int]:
    return {what: count for what, count in source.inbox.counts.items() if count}


def test_faces_arrive_in_order_and_on_this_clock() -> None:
    began = time.monotonic()
    with talking() as (source, send):
        for number in range(20):
            send(packet(number))
        until(lambda: counts(source) == {"received": 20})
        arrivals = source.inbox.take()
    assert [observation.sequence for observation, _ in arrivals] == list(range(20))
    moments = [began, *(arrived for _, arrived in arrivals), time.monotonic()]
    assert moments == sorted(moments)
    np.testing.assert_array_equal(arrivals[7].observation.weights, FACE[0].astype(np.float32))
    assert (source.inbox.ended.is_set(), source.inbox.error) == (True, None)


def test_every_bad_packet_is_counted_as_what_it_is() -> None:
    good = packet(1)
    flipped = good[:50] + bytes([good[50] ^ 4]) + good[51:]
    wrong_edition = good[:6] + b"\7" + good[7:]
    bad = (
        b"",
        good[:-1],
        good[:20],
        flipped,
        wrong_edition,
        good + b"!",
        b"x" * (MOST_BYTES + 1),
        b"x" * 8000,
    )
    with talking() as (source, send):
        send(good)
        for data in bad:
            send(data)
        for data in (
            good,
            packet(3),
            packet(2),
            packet(3),
            packet(2),
            encode("openhead", [], [], time=0.0),
        ):
            send(data)
        until(lambda: "empty" in source.inbox.counts)
        assert counts(source) == {"received": 3, "malformed": len(bad), "repeated": 3, "empty": 1}
        assert [observation.sequence for observation, _ in source.inbox.take()] == [1, 3, 2]


def test_only_one_sender_is_followed() -> None:
    with talking() as (source, send), sender() as other:
        send(packet(1))
        until(lambda: source.inbox.counts["received"] == 1)
        other.sendto(packet(2), address_of(source))
        until(lambda: source.inbox.counts["foreign"] == 1)
        assert counts(source) == {"received": 1, "foreign": 1}


def test_a_packet_of_the_greatest_length_is_read() -> None:
    def parser() -> Parser:
        return lambda data: (Observation("openhead", np.full(50, len(data)), FACE[1]),)

    longest = Protocol("long", "long packets", 0, 4000, 30.0, None, parser)
    with talking(longest) as (source, send):
        for length in (4001, 4000):
            send(bytes(length))
        until(lambda: counts(source) == {"malformed": 1, "received": 1})
        assert source.inbox.take()[0].observation.weights[0] == 4000


def test_a_flood_takes_no_room() -> None:
    face = packet(1)
    junk = b"x" * 300
    with talking() as (source, send):
        for number in range(INBOX_CAPACITY + 10):
            send(packet(number))
        until(lambda: counts(source).get("received", 0) > 0)
        tracemalloc.start()
        try:
            for number in range(4000):
                send(packet(1000 + number) if number % 2 else (face, junk)[number % 4 // 2])
            packets = sum(source.inbox.counts.values())
            grown = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        assert packets > INBOX_CAPACITY
        assert grown < 1e6, "as much as the inbox holds"
        until(
            lambda: (
                bool(send(packet(10000)))
                and any(observation.sequence == 10000 for observation, _ in source.inbox.take())
            )
        )


def test_a_flood_leaves_the_interpreter_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a turn there is a pause three times as long, even with packets waiting."""
    pauses: list[tuple[int, float]] = []
    clock = count()
    with talking() as (source, send):
        monkeypatch.setattr(
            socket.socket, "recvfrom_into", lambda *_: (4, ("anyone", 1)), raising=False
        )
        monkeypatch.setattr(time, "thread_time", lambda: next(clock) / 1000)
        monkeypatch.setattr(
            time,
            "sleep",
            lambda seconds: pauses.append((source.inbox.counts["malformed"], seconds)),
        )
        send(b"the first of a flood that does not end")
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while len(pauses) < 3 and time.monotonic() < deadline:
            pass
    assert [read for read, _ in pauses[:3]] == [
        receiver.TURN_PACKETS,
        2 * receiver.TURN_PACKETS,
        3 * receiver.TURN_PACKETS,
    ]
    assert [seconds for _, seconds in pauses[:3]] == pytest.approx([0.003] * 3)


def test_a_bug_ends_the_source_and_is_told() -> None:
    def parser() -> Parser:
        return lambda data: [][0]

    with talking(replace(flame_udp.PROTOCOL, parser=parser)) as (source, send):
        send(b"anything")
        assert source.inbox.ended.wait(TIMEOUT_SECONDS)
        assert isinstance(source.inbox.error, IndexError)


def stumbling(monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    """Make the next read raise an error of the system."""
    real = socket.socket.recvfrom_into
    errors = [error]

    def receive(own: socket.socket, room: memoryview) -> object:
        result = real(own, room)
        if errors:
            raise errors.pop()
        return result

    monkeypatch.setattr(socket.socket, "recvfrom_into", receive, raising=False)


def test_a_network_that_breaks_off_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with talking() as (source, send):
        stumbling(monkeypatch, OSError(errno.ENETDOWN, "Network is down"))
        send(packet(1))
        assert source.inbox.ended.wait(TIMEOUT_SECONDS)
        with pytest.raises(InputError, match=r"broke off \(Network is down\)"):
            raise source.inbox.error or AssertionError


@pytest.mark.parametrize(
    ("error", "expected"),
    [(ConnectionResetError(), {}), (OSError(errno.EMSGSIZE, "too long"), {"malformed": 1})],
)
def test_socket_errors_of_windows_do_not_end_the_thread(
    monkeypatch: pytest.MonkeyPatch, error: OSError, expected: dict[str, int]
) -> None:
    with talking() as (source, send):
        stumbling(monkeypatch, error)
        send(packet(1))
        send(packet(2))
        until(lambda: counts(source) == expected | {"received": 1})


def test_thread_and_socket_end_with_the_block() -> None:
    for _ in range(3):
        with talking() as (source, _):
            assert any(thread.name == "imavatar-udp" for thread in threading.enumerate())
        assert not any(thread.name == "imavatar-udp" for thread in threading.enumerate())
        with sender(address_of(source)[1]):
            assert source.inbox.ended.is_set()


def test_only_this_machine_is_reached_by_default() -> None:
    with opened(flame_udp.PROTOCOL, "udp://:0") as source:
        assert re.fullmatch(
            r"UDP 127\.0\.0\.1:\d+; udp://0\.0\.0\.0:\d+ receives from the network, too",
            source.listening,
        )
    with opened(flame_udp.PROTOCOL, "udp://0.0.0.0:0") as source:
        assert re.fullmatch(r"UDP 0\.0\.0\.0:\d+", source.listening)


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_ipv6_in_brackets() -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as trial:
        try:
            trial.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6 loopback")
    with opened(flame_udp.PROTOCOL, "udp://[::1]:0") as source:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as own:
            own.sendto(packet(1), address_of(source))
        until(lambda: counts(source) == {"received": 1})


def test_a_taken_port_is_named_with_a_remedy() -> None:
    with sender() as other:
        port = other.getsockname()[1]
        with pytest.raises(
            UsageError,
            match=rf"UDP port {port} is taken: .*another port, as udp://:{port % 65535 + 1}",
        ):
            opened(flame_udp.PROTOCOL, f"udp://:{port}").__enter__()


GREETED = replace(flame_udp.PROTOCOL, scheme="shy", port=0, hello=b"hello, phone")


def test_a_tracker_that_waits_is_greeted_until_it_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver, "GREETING_SECONDS", 0.02)
    with sender() as phone, opened(GREETED, f"shy://127.0.0.1:{phone.getsockname()[1]}") as source:
        assert "127.0.0.1" in source.listening
        for _ in range(3):
            greeting, place = phone.recvfrom(100)
            assert greeting == GREETED.hello
        phone.sendto(packet(1), place)
        until(lambda: counts(source) == {"received": 1})


def test_only_the_tracker_that_was_greeted_is_followed() -> None:
    with sender() as phone, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        try:
            other.bind(("127.0.0.2", 0))
        except OSError:
            pytest.skip("this machine has one loopback address only")
        with opened(GREETED, f"shy://127.0.0.1:{phone.getsockname()[1]}") as source:
            _, place = phone.recvfrom(100)
            other.sendto(packet(1), place)
            until(lambda: counts(source) == {"foreign": 1})
            for number in (1, 2):
                with sender() as other_port:
                    other_port.sendto(packet(number), place)
            until(lambda: counts(source) == {"foreign": 1, "received": 2})


def test_a_tracker_without_an_address_is_refused() -> None:
    with pytest.raises(UsageError, match="shy:// needs the address of the tracker"):
        opened(GREETED, "shy://").__enter__()


def test_a_tracker_out_of_reach_is_told() -> None:
    with pytest.raises(InputError, match=r"the tracker at 255\.255\.255\.255 cannot be reached"):
        opened(GREETED, "shy://255.255.255.255:9000").__enter__()


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.scheme)
def test_every_protocol_has_its_row(protocol: Protocol) -> None:
    (row,) = [row for row in SOURCES if row.matches(f"{protocol.scheme}://:1")]
    assert row.pattern.startswith(f"{protocol.scheme}://")
    assert row.description == protocol.description
    with pytest.raises(UsageError, match=f"must be like {protocol.scheme}://"):
        row.open(f"{protocol.scheme}://no port", Selection())
