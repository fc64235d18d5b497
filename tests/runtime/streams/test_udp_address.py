"""UDP addresses as users type them, sockets, and messages where they cannot be opened."""

from __future__ import annotations

import errno
import socket

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from imavatar_deploy.errors import UsageError
from imavatar_deploy.runtime.streams.udp_address import (
    UdpAddress,
    address_of,
    listening_socket,
    resolve,
    sending_socket,
)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("udp://:9001", "", 9001),
        ("udp://", "", 9000),
        ("UDP://:0", "", 0),
        ("udp://0.0.0.0:65535", "0.0.0.0", 65535),
        ("udp://192.168.1.20", "192.168.1.20", 9000),
        ("udp://phone-of-mine.local:80/", "phone-of-mine.local", 80),
        ("udp://[::1]:9001", "::1", 9001),
        ("udp://[fe80::1%eth0]", "fe80::1%eth0", 9000),
    ],
)
def test_addresses_are_read(text: str, host: str, port: int) -> None:
    address = address_of(text, "udp", 9000)
    assert address == UdpAddress(host, port)
    assert address_of(f"udp://{address}", "udp", 1) == address


BAD = (
    "udp:9000",
    "osc://:9000",
    "udp://:port",
    "udp://:65536",
    "udp://::1:9000",
    "udp://[::1",
    "udp://a b",
    "udp://:9\n",
)


@pytest.mark.parametrize("text", BAD)
def test_others_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        address_of(text, "udp", 9000)


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(max_size=40), st.from_regex(r"udp://[\[\]:.%0-9a-z]{0,30}")))
@example("udp://:٣٣")
def test_whatever_is_typed_is_read_or_refused(text: str) -> None:
    try:
        address = address_of(text, "udp", 9000)
    except UsageError:
        return
    assert 0 <= address.port <= 65535


@pytest.mark.parametrize("host", ["..", "a" * 70])
def test_hosts_that_cannot_be_are_refused(host: str) -> None:
    with pytest.raises(UsageError, match="there is no host"):
        resolve(UdpAddress(host, 9000))


def test_unknown_hosts_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(UsageError, match=r"there is no host 'phone' \(Name or service not known\)"):
        resolve(UdpAddress("phone", 9000))


def test_a_taken_port_has_a_remedy() -> None:
    with listening_socket(UdpAddress("127.0.0.1", 0), "") as first:
        port = first.getsockname()[1]
        with pytest.raises(UsageError, match=f"UDP port {port} is taken: .* or go away$"):
            listening_socket(UdpAddress("127.0.0.1", port), "or go away")


def test_an_address_of_another_machine_has_a_remedy() -> None:
    with pytest.raises(
        UsageError, match=r"192\.0\.2\.7 is no address of this machine: .*0\.0\.0\.0"
    ):
        listening_socket(UdpAddress("192.0.2.7", 0), "")


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENETDOWN])
def test_whatever_else_fails_is_one_sentence(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    class Broken(socket.socket):
        def bind(self, place: object) -> None:
            raise OSError(number, "no luck")

        connect = bind

    monkeypatch.setattr(socket, "socket", Broken)
    with pytest.raises(UsageError, match=r"cannot listen at UDP 127\.0\.0\.1:80 \(no luck\)"):
        listening_socket(UdpAddress("127.0.0.1", 80), "")
    with pytest.raises(UsageError, match=r"cannot send to UDP 127\.0\.0\.1:80 \(no luck\)"):
        sending_socket(UdpAddress("127.0.0.1", 80))
