"""The sink of the page: opens the server and closes it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from imavatar_deploy.errors import UsageError

from ..sink import Sink, SinkFormat, Stream
from .address import SCHEME, Address, read_address

if TYPE_CHECKING:
    from .server import PageServer

OPEN_WARNING = "; every host that reaches this address can watch and control it with this link"
"""Warning for addresses other than loopback."""


EVERY_INTERFACE = ("0.0.0.0", "::")


@contextmanager
def _open(target: str, stream: Stream) -> Iterator[Sink]:
    server = _listen(read_address(target).protected(), stream)
    address = server.address
    warning = "" if address.is_loopback else OPEN_WARNING
    if address.host in EVERY_INTERFACE:
        warning = f"; from elsewhere, put this computer's IP address for {address.host}{warning}"
    clients = (server.viewers, server.followers)
    try:
        yield Sink(
            server.screen.show,
            report=lambda: (
                f"page: {address}, watched by {sum(each.most_taken for each in clients)} browsers"
            ),
            greeting=f"page: {address.link} shows the head to browsers{warning}",
            write_face=server.broadcast.write_face if server.broadcast.edition else None,
            write_camera=server.broadcast.write_camera if server.broadcast.edition else None,
            needs_image=server.screen.needs_image,
        )
    finally:
        server.close()


def _listen(address: Address, stream: Stream) -> PageServer:
    from .server import PageServer  # aiohttp takes a third of a second to import

    try:
        return PageServer(address, stream)
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
