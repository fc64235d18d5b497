"""Server: the page's connections, a bounded number of them, and how all of them end."""

from __future__ import annotations

import json
import math
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from socketserver import TCPServer
from typing import Any, ClassVar
from urllib.parse import urlsplit

import cv2

from imavatar_deploy.errors import ImavatarError, InternalError

from ..backgrounds import over, white
from ..sink import Image, Stream
from .address import Address
from .controls_api import MOST_BYTES, obey

# Handler: answers one request for the page, its pictures, its figures, or an order.


PATIENCE = 10.0
"""Seconds for a viewer to take or to send what it has to, and for a frame to come."""

SENT_AHEAD = 1 << 17
"""Bytes that the system may hold for a viewer: one or two frames, so that a slow one sees late frames not long."""

BOUNDARY = "frame"

JSON = "application/json"
"""No page of another site may send it here without asking first, and is told no."""

HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; connect-src 'self'; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'; frame-ancestors 'none'",
}
"""Pages of other sites can neither read nor show any of this."""


class Handler(BaseHTTPRequestHandler):
    """See `http.server.BaseHTTPRequestHandler`."""

    server: PageServer
    timeout = PATIENCE
    server_version, sys_version = "imavatar", ""

    def do_GET(self) -> None:
        """One of `PAGES`."""
        if self._is_welcome():
            page = self.PAGES.get(urlsplit(self.path).path)
            if page is None:
                self._say(HTTPStatus.NOT_FOUND, f"there are {', '.join(self.PAGES)}")
            else:
                page(self)

    def do_POST(self) -> None:
        """An order, as JSON from this page and no other."""
        if not self._is_welcome():
            return
        length = self.headers.get("Content-Length", "")
        if self.path != "/control":
            self._say(HTTPStatus.NOT_FOUND, "orders go to /control")
        elif self.headers.get_content_type() != JSON:
            self._say(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"an order is {JSON}")
        elif not (length.isascii() and length.isdigit()):
            self._say(HTTPStatus.LENGTH_REQUIRED, "an order says its Content-Length")
        elif len(length) > 9 or int(length) > MOST_BYTES:
            self._say(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"an order has at most {MOST_BYTES} bytes"
            )
        else:
            self._obey(self.rfile.read(int(length)))

    def _obey(self, body: bytes) -> None:
        try:
            obey(body, self.server.stream.controls)
        except ImavatarError as error:
            self._say(HTTPStatus.BAD_REQUEST, str(error))
        else:
            self._answer(HTTPStatus.OK, JSON, b"{}")

    def _is_welcome(self) -> bool:
        """Whether it was asked for by one of our names, and by no page of another site."""
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        if self.server.address.is_meant_by(host) and origin in (None, f"http://{host}"):
            return True
        self._say(HTTPStatus.FORBIDDEN, "this page answers to its own address alone")
        return False

    def _page(self) -> None:
        text = files(__package__).joinpath("page.html").read_bytes()
        self._answer(HTTPStatus.OK, "text/html; charset=utf-8", text)

    def _jpeg(self) -> None:
        found = self.server.screen.next_jpeg(0, PATIENCE)
        self._picture("image/jpeg", found and found[1])

    def _png(self) -> None:
        self._picture("image/png", self.server.screen.png())

    def _picture(self, kind: str, data: bytes | None) -> None:
        if data is None:
            self._say(HTTPStatus.SERVICE_UNAVAILABLE, "there is no frame yet")
        else:
            self._answer(HTTPStatus.OK, kind, data)

    def _figures(self) -> None:
        controls, figures = self.server.stream.controls, self.server.stream.statistics()
        told = {
            "paused": controls.paused,
            "watching": self.server.watching,
            "figures": _plain(figures),
        }
        self._answer(HTTPStatus.OK, JSON, json.dumps(told, default=str).encode())

    def _stream(self) -> None:
        with self.server.admit_client() as free:
            if not free:
                self._say(HTTPStatus.SERVICE_UNAVAILABLE, "too many are watching; try again later")
                return
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SENT_AHEAD)
            self._begin(HTTPStatus.OK, f"multipart/x-mixed-replace; boundary={BOUNDARY}")
            self._send_frames()

    def _send_frames(self) -> None:
        """Until the viewer goes or the run ends. A browser shows a frame when it sees the boundary after it."""
        self.wfile.write(f"--{BOUNDARY}\r\n".encode())
        number = 0
        while (found := self.server.screen.next_jpeg(number, PATIENCE)) is not None:
            number, data = found
            head = f"Content-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            self.wfile.write(head.encode() + data + f"\r\n--{BOUNDARY}\r\n".encode())

    PAGES: ClassVar[dict[str, Callable[[Handler], None]]] = {
        "/": _page,
        "/stream.mjpg": _stream,
        "/frame.jpg": _jpeg,
        "/frame.png": _png,
        "/stats.json": _figures,
    }

    def _say(self, status: HTTPStatus, sentence: str) -> None:
        self._answer(status, "text/plain; charset=utf-8", f"{sentence}\n".encode())

    def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self._begin(status, kind, {"Content-Length": str(len(body))})
        self.wfile.write(body)

    def _begin(self, status: HTTPStatus, kind: str, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, **HEADERS, **(more or {})}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are nobody's concern."""


def _plain(figures: dict[str, Any]) -> dict[str, Any]:
    """JSON knows no numbers that are not finite."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in figures.items()
    }


# Screen: the newest frame for any number of viewers, encoded once, and only if somebody looks.


QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 90]


class Screen:
    """What `show` was given last; who looks waits here for the next."""

    def __init__(self, stream: Stream) -> None:
        self._ground = white(stream)
        self._changed = threading.Condition()
        self._image: Image | None = None
        self._number = 0
        self._encoding = threading.Lock()
        self._encoded = (0, b"")
        self.closed = False

    def show(self, image: Image) -> None:
        """Replace the frame; nobody is waited for."""
        with self._changed:
            self._image, self._number = image, self._number + 1
            self._changed.notify_all()

    def close(self) -> None:
        """Nothing will come any more: everybody who waits is told."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    def next_jpeg(self, after: int, patience: float) -> tuple[int, bytes] | None:
        """The number and the JPEG of the newest frame, once it is newer than `after`; white where it is transparent.

        None when the screen was closed, or no frame came in `patience` seconds.
        """
        with self._changed:
            self._changed.wait_for(lambda: self.closed or self._number > after, patience)
            if self.closed or self._number <= after:
                return None
        with self._encoding:  # the others wait for the first, and then have its work
            with self._changed:
                number, image = self._number, self._image
            if number > self._encoded[0] and image is not None:
                self._encoded = (
                    number,
                    _encode(".jpg", cv2.cvtColor(over(image, self._ground), cv2.COLOR_RGB2BGR)),
                )
            return self._encoded

    def png(self) -> bytes | None:
        """The newest frame as a PNG with its transparency; None before the first."""
        with self._changed:
            image = self._image
        return None if image is None else _encode(".png", cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA))


def _encode(suffix: str, image: Any) -> bytes:
    done, data = cv2.imencode(suffix, image, QUALITY if suffix == ".jpg" else [])
    if not done:
        raise InternalError(f"a frame {image.shape} could not be encoded as {suffix}")
    return bytes(data)


MOST_CONNECTIONS = 64

MOST_VIEWERS = 16
"""Connections that may be streams; each costs a thread and its share of the network, none of them the head's time."""


class PageServer(ThreadingHTTPServer):
    """Serves one stream; `serve_forever` in a thread, then `shutdown` and `close_all`.

    Raises:
        OSError: it cannot listen there.
    """

    daemon_threads = False  # so that `close_all` waits for them
    allow_reuse_address = (
        os.name == "posix"
    )  # elsewhere it would take a port from the program that has it

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
    def admit_client(self) -> Iterator[bool]:
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
