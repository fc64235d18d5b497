"""`SCHEME://[HOST][:PORT]` read into an address, and sockets at it; every mistake is one sentence."""

from __future__ import annotations

import errno
import re
import socket
from dataclasses import dataclass
from typing import Any

from imavatar_deploy.errors import UsageError

LOOPBACK = "127.0.0.1"
HIGHEST_PORT = 65535

ROOM = 256 * 1024
"""Bytes the system keeps for us while nobody looks: on Linux some 400 packets of a face, six seconds of 60 a second.

More would help nobody: the player wants the newest face, and in a flood all that waits in front of it is delay.
"""

_HOST = r"\[(?P<six>[0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|(?P<plain>[A-Za-z0-9._-]*)"
_ADDRESS = re.compile(rf"(?:{_HOST})(?::(?P<port>[0-9]{{1,5}}))?/?", re.ASCII)


@dataclass(frozen=True)
class UdpAddress:
    """A host, empty where none was named, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address_of(text: str, scheme: str, port: int) -> UdpAddress:
    """`udp://:9000`, `udp://192.168.1.20`, `udp://[::1]:9000` -> an address; `port` is for a text that names none.

    Raises:
        UsageError: the text is no such address.
    """
    found_scheme, separator, rest = text.partition("://")
    parts = _ADDRESS.fullmatch(rest)
    if not separator or found_scheme.lower() != scheme or not parts:
        raise UsageError(
            f"an address must be like {scheme}://:{port} or {scheme}://192.168.1.20:{port}, got {text!r}"
        )
    wanted = port if parts["port"] is None else int(parts["port"])
    if wanted > HIGHEST_PORT:
        raise UsageError(f"a port is at most {HIGHEST_PORT}, got {wanted} in {text!r}")
    return UdpAddress(parts["six"] or parts["plain"] or "", wanted)


def resolve(address: UdpAddress) -> tuple[int, Any]:
    """Family and socket address of an address; IPv4 where a name has both.

    Raises:
        UsageError: no such host.
    """
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        said = getattr(error, "strerror", None) or error
        raise UsageError(
            f"there is no host {address.host!r} ({said}); give its address in numbers"
        ) from error
    family, _, _, _, place = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return family, place


def sending_socket(address: UdpAddress) -> socket.socket:
    """A socket that sends to one address; once nobody listens there, it may say so (ConnectionRefusedError).

    Raises:
        UsageError: no such host, or no way to it.
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
    """A socket that receives at an address and never blocks.

    No address is shared with another program (SO_REUSEADDR): each would silently get a part of the packets.

    Args:
        instead: what else may be done where the port is taken: the end of a sentence.

    Raises:
        UsageError: no such host, the port is taken, or the address is not this machine's.
    """
    family, place = resolve(address)
    opened = socket.socket(family, socket.SOCK_DGRAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
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
        return f"{address.host} is no address of this machine: give one that is, or 0.0.0.0 for all of them"
    return (
        f"cannot listen at UDP {address} ({error.strerror or error}); take another address or port"
    )
