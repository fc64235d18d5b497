"""Server of the page: an event loop in a thread, and its connections, which are limited."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from contextlib import suppress
from dataclasses import replace

from aiohttp import web

from ..sink import Stream
from .address import Address
from .answers import PageState, Places
from .broadcast import Broadcast
from .browser_avatar import BrowserAvatar
from .requests import answer
from .screen import Screen

MOST_CONNECTIONS = 128

MOST_VIEWERS = 16
"""Largest number of streams of pictures; each costs its share of the network."""

MOST_FOLLOWERS = 64
"""Largest number of WebSockets; each is sent 5 to 10 KB a second."""

IDLE_SECONDS = 10.0
"""Seconds for which a connection may be open without a complete request."""

ENDING_SECONDS = 2.0
"""Seconds for connections to close before they are cut."""

CUT_SECONDS = 0.05
"""Seconds for the event loop to notice that connections were accepted or cut."""

_LOGGER = logging.getLogger(__name__)
_LOGGER.addHandler(logging.NullHandler())
_LOGGER.propagate = False
"""Takes the reports of malformed requests; errors of our own are printed by `answer`."""


class _Refusal(asyncio.Protocol):
    """A connection beyond the limit, closed at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close the connection."""
        transport.close()


class _Server(web.Server):
    """Counts its connections from the moment they are accepted; `web.Server` does so later."""

    accepted = 0

    def __call__(self) -> web.RequestHandler:
        """Return the protocol of a new connection."""
        self.accepted += 1
        return super().__call__()

    def connection_lost(
        self, handler: web.RequestHandler, exc: BaseException | None = None
    ) -> None:
        """Forget a connection."""
        self.accepted -= 1
        super().connection_lost(handler, exc)


class PageServer:
    """Serves one stream from a thread of its own, until `close`.

    Raises:
        OSError, UnicodeError: the address cannot be listened on.
    """

    def __init__(self, address: Address, stream: Stream) -> None:
        self._socket = _listening_socket(address)
        self.address = replace(address, port=self._socket.getsockname()[1])
        self.screen = Screen(stream)
        self.broadcast = Broadcast(stream.edition)
        self.viewers = Places(MOST_VIEWERS)
        self.followers = Places(MOST_FOLLOWERS)
        self._state = PageState(
            self.address,
            stream,
            self.screen,
            self.broadcast,
            BrowserAvatar(stream),
            self.viewers,
            self.followers,
        )
        self._loop = asyncio.new_event_loop()
        self.screen.attach(self._loop)
        self.broadcast.attach(self._loop)
        self._thread = threading.Thread(target=self._run, name="page", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End every connection and the thread, and free the port."""
        self.screen.close()
        self._loop.call_soon_threadsafe(self._state.ended.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()
            self._socket.close()

    async def _serve(self) -> None:
        """Accept connections until the end is requested."""
        server = _Server(
            lambda request: answer(self._state, request),
            handler_cancellation=True,  # of clients that disconnect
            keepalive_timeout=IDLE_SECONDS,
            lingering_time=1.0,
            auto_decompress=False,  # so that a short body stays short
            access_log=None,
            logger=_LOGGER,
        )

        def protocol() -> asyncio.BaseProtocol:
            full = server.accepted >= MOST_CONNECTIONS
            return _Refusal() if full or self._state.ended.is_set() else server()

        listener = await self._loop.create_server(protocol, sock=self._socket)
        idle = self._loop.create_task(self.broadcast.keep_alive())
        await self._state.ended.wait()
        idle.cancel()
        with suppress(NotImplementedError):  # on Windows
            self._loop.remove_reader(self._socket)
        await asyncio.sleep(CUT_SECONDS)  # asyncio leaks what was accepted just before `close`
        listener.close()
        transports = [each.transport for each in server.connections if each.transport is not None]
        server.pre_shutdown()
        await server.shutdown(ENDING_SECONDS)
        for transport in transports:
            transport.abort()  # a stalled client never takes what it was sent
        await asyncio.sleep(CUT_SECONDS)


def _listening_socket(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # elsewhere it would take a port from the program that has it
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address.host, address.port))
        listening.listen(MOST_CONNECTIONS)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening
