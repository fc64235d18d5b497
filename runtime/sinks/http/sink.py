"""The row of the page, and its life: port taken, thread started, everything ended."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from imavatar_deploy.errors import UsageError

from ..sink import Sink, SinkFormat, Stream
from .address import SCHEME, Address, read_address
from .server import PageServer, Screen

POLL = 0.05
"""Seconds until the thread that accepts connections sees that it is to end."""

OPEN = "; whoever reaches this address can watch and steer it"


@contextmanager
def _open(target: str, stream: Stream) -> Iterator[Sink]:
    address, screen = read_address(target), Screen(stream)
    server = _listen(address, screen, stream)
    thread = threading.Thread(target=server.serve_forever, args=(POLL,), name="page", daemon=True)
    thread.start()
    shown = f"page: {Address(address.host, server.server_port)}"
    try:
        yield Sink(
            screen.show,
            report=lambda: f"{shown}, watched by {server.most_watching or 'nobody'}",
            greeting=f"{shown} shows the head to browsers{'' if address.is_loopback else OPEN}",
        )
    finally:
        server.shutdown()
        thread.join()
        server.close_all()


def _listen(address: Address, screen: Screen, stream: Stream) -> PageServer:
    try:
        return PageServer(address, screen, stream)
    except (OSError, UnicodeError) as error:
        raise UsageError(
            f"{address} cannot be listened on ({getattr(error, 'strerror', None) or error}); end the program that has "
            f"the port, or choose another address, as in --sink http://127.0.0.1:{address.port % 60000 + 1}"
        ) from error


FORMAT = SinkFormat(
    name="http",
    pattern="http://127.0.0.1:8080",
    description="a page for browsers on this machine, or with another address for those of a network",
    matches=lambda target: target.lower().startswith(SCHEME),
    open=_open,
    watched=True,
)
