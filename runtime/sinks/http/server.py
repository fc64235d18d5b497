"""Server: the page's connections, a bounded number of them, and how all of them end."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from ..sink import Stream
from .address import Address
from .handler import Handler
from .screen import Screen

MOST_CONNECTIONS = 64

MOST_VIEWERS = 16
"""Connections that may be streams; each costs a thread and its share of the network, none of them the head's time."""


class PageServer(ThreadingHTTPServer):
    """Serves one stream; `serve_forever` in a thread, then `shutdown` and `close_all`.

    Raises:
        OSError: it cannot listen there.
    """

    daemon_threads = False  # so that `close_all` waits for them
    allow_reuse_address = os.name == "posix"  # elsewhere it would take a port from the program that has it

    def __init__(self, address: Address, screen: Screen, stream: Stream) -> None:
        self.address, self.screen, self.stream = address, screen, stream
        self.watching = self.most_watching = 0
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self.address_family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        super().__init__((address.host, address.port), Handler)

    def server_bind(self) -> None:
        """Without the name server, which the base class asks for a name that nobody needs."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.address.host, self.server_address[1]

    @contextmanager
    def seat(self) -> Iterator[bool]:
        """One viewer's place; False when all are taken."""
        with self._lock:
            free = self.watching < MOST_VIEWERS
            self.watching += free
            self.most_watching = max(self.most_watching, self.watching)
        try:
            yield free
        finally:
            with self._lock:
                self.watching -= free

    def process_request(self, request: Any, client_address: Any) -> None:
        """A thread for each connection, while there are not too many."""
        with self._lock:
            free = len(self._connections) < MOST_CONNECTIONS
            if free:
                self._connections.add(request)
        if free:
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:
        """See the base class."""
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A viewer that goes away is no error."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def close_all(self) -> None:
        """End every connection, wait for their threads, and free the port."""
        self.screen.close()
        with self._lock:
            for connection in self._connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self.server_close()
