"""Sources over UDP: a row of `--source` for each protocol, which listens or greets a tracker."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from imavatar_deploy.errors import UsageError

from ..streams.udp_address import (
    HIGHEST_PORT,
    LOOPBACK,
    UdpAddress,
    address_of,
    listening_socket,
    resolve,
)
from .observation import Inbox
from .receiver import Greeting, Receiver
from .source import LiveSource, Protocol, Selection, SourceFormat

ANYWHERE: dict[int, str] = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}


def datagram_format(protocol: Protocol) -> SourceFormat:
    """Return the row of `--source` of a protocol: `SCHEME://[HOST][:PORT]`.

    HOST is the address to listen at, by default that of this machine alone; for a tracker that must
    be greeted it is the tracker's. A stream has no frames to select and a rate of its own: the
    selection is ignored.

    Opening raises UsageError for an address that is malformed or not available, InputError for a
    tracker that cannot be greeted, and MissingDependencyError where its packets need a package.
    """

    def open_target(target: str, selection: Selection) -> AbstractContextManager[LiveSource]:
        address = address_of(target, protocol.scheme, protocol.port)
        protocol.parser()  # a missing package is an error now, not at the first packet
        if protocol.hello:
            return _greet(protocol, address, protocol.hello)
        return _listen(protocol, address)

    return SourceFormat(
        name=protocol.scheme,
        pattern=f"{protocol.scheme}://HOST"
        if protocol.hello
        else f"{protocol.scheme}://:{protocol.port}",
        description=protocol.description,
        matches=lambda target: target.partition("://")[:2] == (protocol.scheme, "://"),
        open=open_target,
    )


@contextmanager
def _listen(protocol: Protocol, address: UdpAddress) -> Iterator[LiveSource]:
    """Receive packets of any sender at an address of this machine."""
    own = UdpAddress(address.host or LOOPBACK, address.port)
    other = UdpAddress(address.host, own.port % HIGHEST_PORT + 1)
    with listening_socket(
        own, f"or take another port, as {protocol.scheme}://{other}, and send to that"
    ) as opened:
        local = UdpAddress(*opened.getsockname()[:2])
        wider = (
            f"; {protocol.scheme}://0.0.0.0:{local.port} receives from the network, too"
            if not address.host
            else ""
        )
        with _run_receiver(protocol, opened, None) as inbox:
            yield LiveSource(inbox, protocol.fps, protocol.vocabulary, f"UDP {local}{wider}")


@contextmanager
def _greet(protocol: Protocol, address: UdpAddress, hello: bytes) -> Iterator[LiveSource]:
    """Greet a tracker, and receive its packets alone."""
    if not address.host:
        raise UsageError(
            f"{protocol.scheme}:// needs the address of the tracker, "
            f"as {protocol.scheme}://192.168.1.20"
        )
    family, place = resolve(address)
    own = UdpAddress(ANYWHERE[family], protocol.port)
    with listening_socket(own, "since the tracker sends to no other") as opened:
        local = UdpAddress(*opened.getsockname()[:2])
        greeting = Greeting(hello, place)
        greeting.send(opened)
        with _run_receiver(protocol, opened, greeting) as inbox:
            yield LiveSource(
                inbox, protocol.fps, protocol.vocabulary, f"UDP {local}, {address} alone"
            )


@contextmanager
def _run_receiver(
    protocol: Protocol, opened: socket.socket, greeting: Greeting | None
) -> Iterator[Inbox]:
    """Run a receiver during a `with` block."""
    inbox = Inbox()
    receiver = Receiver(protocol, opened, inbox, greeting)
    receiver.start()
    try:
        yield inbox
    finally:
        receiver.stop()
