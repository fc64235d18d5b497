"""The sink of the page: opens the server, starts its thread, and closes both."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from imavatar_deploy.errors import UsageError

from ..sink import Sink, SinkFormat, Stream
from .address import SCHEME, Address, read_address
from .server import PageServer, Screen

POLL_SECONDS = 0.05
"""Seconds between two checks of the accepting thread whether to end."""

OPEN_WARNING = "; every host that reaches this address can watch and control it"
"""Warning for addresses other than loopback."""


@contextmanager
def _open(target: str, stream: Stream) -> Iterator[Sink]:
    address = read_address(target)
    screen = Screen(stream)
    server = _listen(address, screen, stream)
    thread = threading.Thread(
        target=server.serve_forever, args=(POLL_SECONDS,), name="page", daemon=True
    )
    thread.start()
    page = f"page: {Address(address.host, server.server_port)}"
    warning = "" if address.is_loopback else OPEN_WARNING
    try:
        yield Sink(
            screen.show,
            report=lambda: f"{page}, watched by {server.most_watching} browsers",
            greeting=f"{page} shows the head to browsers{warning}",
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
            f"{address} cannot be listened on ({getattr(error, 'strerror', None) or error}); "
            "end the program that has the port, or choose another address, "
            f"as in --sink http://127.0.0.1:{address.port % 60000 + 1}"
        ) from error


FORMAT = SinkFormat(
    name="http",
    pattern="http://127.0.0.1:8080",
    description="a page for browsers on this machine; another address serves those of a network",
    matches=lambda target: target.lower().startswith(SCHEME),
    open=_open,
    watched=True,
)
