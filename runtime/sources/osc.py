"""OSC datagrams -> the messages in them: bundles are opened here, messages are read by python-osc.

python-osc's own reader of bundles never ends on one whose element says that it is -4 bytes long, and a datagram comes
from anybody.
"""

from __future__ import annotations

import struct
from collections.abc import Container, Iterator
from typing import Any

from imavatar_deploy import optional
from imavatar_deploy.errors import InputError

BUNDLE = b"#bundle\0"
TIME_TAG = 8
SIZE = struct.Struct(">i")
DEEPEST = 8
"""Bundles within bundles; nobody sends more than two."""


def osc_messages(packet: bytes, addresses: Container[str], depth: int = 0) -> Iterator[tuple[str, list[Any]]]:
    """Addresses and arguments, in order, of those messages whose address is asked for.

    Raises:
        InputError: it is not an OSC packet, or a message that is asked for is broken.
        MissingDependencyError: python-osc is not there.
    """
    if packet.startswith(BUNDLE) and depth < DEEPEST:
        for element in _elements(packet):
            yield from osc_messages(element, addresses, depth + 1)
    elif packet.startswith(b"/"):
        if packet.split(b"\0", 1)[0].decode("ascii", "replace") in addresses:
            yield _read(packet)
    else:
        raise InputError(f"an OSC packet must begin with / or #bundle, got {packet[:12]!r}")


def _elements(bundle: bytes) -> Iterator[bytes]:
    start = len(BUNDLE) + TIME_TAG
    while start < len(bundle):
        size = SIZE.unpack_from(bundle, start)[0] if start + SIZE.size <= len(bundle) else -1
        start += SIZE.size
        if not 0 < size <= len(bundle) - start:
            raise InputError(f"an OSC bundle of {len(bundle)} bytes holds an element of {size}")
        yield bundle[start : start + size]
        start += size


def _read(packet: bytes) -> tuple[str, list[Any]]:
    osc_message = optional.require("pythonosc.osc_message", extra="trackers")
    try:
        message = osc_message.OscMessage(packet)
    except (osc_message.ParseError, ValueError, OverflowError, struct.error) as error:
        raise InputError(f"a broken OSC message: {error}") from error
    return str(message.address), list(message.params)
