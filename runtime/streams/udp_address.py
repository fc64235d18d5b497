"""UDP addresses, `SCHEME://[HOST][:PORT]`, and sockets that listen or send there."""

from __future__ import annotations

import errno
import re
import socket
from dataclasses import dataclass
from typing import Any

from imavatar_deploy.errors import UsageError

LOOPBACK = "127.0.0.1"
HIGHEST_PORT = 65535

RECEIVE_BUFFER_BYTES = 256 * 1024
"""Size of a socket's receive buffer, bytes: on Linux some 400 packets of a face, six seconds at 60
a second.

A larger one would not help: the player needs the newest face, and in a flood all older packets are
delay.
"""

_HOST = r"\[(?P<six>[0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|(?P<plain>[A-Za-z0-9._-]*)"
_ADDRESS = re.compile(rf"(?:{_HOST})(?::(?P<port>[0-9]{{1,5}}))?/?", re.ASCII)


@dataclass(frozen=True)
class UdpAddress:
    """A host, empty where the text has none, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address_of(text: str, scheme: str, port: int) -> UdpAddress:
    """Read `udp://:9000`, `udp://192.168.1.20` or `udp://[::1]:9000`.

    Args:
        text: the address.
        scheme: the scheme that it must have.
        port: the port of a text without one.

    Raises:
        UsageError: the text is no such address.
    """
    text_scheme, separator, rest = text.partition("://")
    parts = _ADDRESS.fullmatch(rest)
    if not separator or text_scheme.lower() != scheme or not parts:
        raise UsageError(
            f"an address must be like {scheme}://:{port} or {scheme}://192.168.1.20:{port}, "
            f"got {text!r}"
        )
    number = port if parts["port"] is None else int(parts["port"])
    if number > HIGHEST_PORT:
        raise UsageError(f"a port is at most {HIGHEST_PORT}, got {number} in {text!r}")
    return UdpAddress(parts["six"] or parts["plain"] or "", number)


def receiver_of(text: str, scheme: str, port: int) -> UdpAddress:
    """Read the address of a receiver as `address_of` does; without a host it is this machine.

    Raises:
        UsageError: the text is no such address, or its port is 0.
    """
    address = address_of(text, scheme, port)
    if not address.port:
        raise UsageError(
            f"{scheme}:// needs the port of the receiver, such as {port}, got {text!r}"
        )
    return UdpAddress(address.host or LOOPBACK, address.port)


def resolve(address: UdpAddress) -> tuple[int, Any]:
    """Family and socket address of an address; IPv4 where a name has both.

    Raises:
        UsageError: no such host.
    """
    try:
        entries = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"there is no host {address.host!r} ({reason}); give its address in numbers"
        ) from error
    family, _, _, _, place = min(entries, key=lambda entry: entry[0] != socket.AF_INET)
    return family, place


def sending_socket(address: UdpAddress) -> socket.socket:
    """Open a socket that sends to one address.

    It may raise ConnectionRefusedError where no program listens there.

    Raises:
        UsageError: no such host, or no route to it.
    """
    family, place = resolve(address)
    opened = socket.socket(family, socket.SOCK_DGRAM)
    try:
        opened.connect(place)
    except OSError as error:
        opened.close()
        raise UsageError(
            f"cannot send to UDP {address} ({error.strerror or error}); give another address"
        ) from error
    return opened


def listening_socket(address: UdpAddress, instead: str) -> socket.socket:
    """Open a socket that receives at an address and never blocks.

    An address is not shared with another program (SO_REUSEADDR): each would silently receive a part
    of the packets.

    Args:
        address: an address of this machine.
        instead: another remedy for a port that is taken: the end of a sentence.

    Raises:
        UsageError: no such host, the port is taken, or the address is not this machine's.
    """
    family, place = resolve(address)
    opened = socket.socket(family, socket.SOCK_DGRAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        opened.setblocking(False)
        opened.bind(place)
    except OSError as error:
        opened.close()
        raise UsageError(_refusal(address, instead, error)) from error
    return opened


def _refusal(address: UdpAddress, instead: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"UDP port {address.port} is taken: end the program that listens there, {instead}"
    if error.errno == errno.EADDRNOTAVAIL:
        return (
            f"{address.host} is no address of this machine: give one that is, or 0.0.0.0 for all "
            "of them"
        )
    return (
        f"cannot listen at UDP {address} ({error.strerror or error}); take another address or port"
    )
