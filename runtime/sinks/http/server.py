"""Server of the page: requests, the newest frame as JPEG and PNG, limited connections."""

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
from imavatar_deploy.marking import HTTP_HEADER, SOURCE_TYPE, TERM, marked_jpeg, marked_png

from ..backgrounds import over, white
from ..sink import Image, Stream
from .address import Address
from .controls_api import REQUEST_BYTES, apply_commands

TIMEOUT_SECONDS = 10.0
"""Time limit of sending to a viewer, of receiving from one, and of a new frame, seconds."""

SEND_BUFFER_BYTES = 1 << 17
"""Size of a viewer's send buffer, bytes: one or two frames, so that a slow one is not far
behind."""

BOUNDARY = "frame"

JSON = "application/json"
"""Media type of commands. Browsers let other sites send it only after a preflight, which fails
here."""

HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; connect-src 'self'; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'; frame-ancestors 'none'",
}
"""Forbid pages of other sites to read or embed any of this."""

PAGE_MARK = f'<meta name="digitalSourceType" content="{TERM}">\n'.encode()
"""The mark of the page, which has no addresses of other sites in it."""


class Handler(BaseHTTPRequestHandler):
    """Answers one request for the page, its images or its figures, or applies a command."""

    server: PageServer
    timeout = TIMEOUT_SECONDS
    server_version = "imavatar"
    sys_version = ""

    def do_GET(self) -> None:
        """Send a row of `PAGES`."""
        if self._is_allowed():
            page = self.PAGES.get(urlsplit(self.path).path)
            if page is None:
                self._send_text(HTTPStatus.NOT_FOUND, f"there are {', '.join(self.PAGES)}")
            else:
                page(self)

    def do_POST(self) -> None:
        """Apply commands, which must come as JSON from this page."""
        if not self._is_allowed():
            return
        length = self.headers.get("Content-Length", "")
        if self.path != "/control":
            self._send_text(HTTPStatus.NOT_FOUND, "commands go to /control")
        elif self.headers.get_content_type() != JSON:
            self._send_text(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"a command must be {JSON}")
        elif not (length.isascii() and length.isdigit()):
            self._send_text(HTTPStatus.LENGTH_REQUIRED, "a command must have a Content-Length")
        elif len(length) > 9 or int(length) > REQUEST_BYTES:
            self._send_text(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a command has at most {REQUEST_BYTES} bytes"
            )
        else:
            self._apply(self.rfile.read(int(length)))

    def _apply(self, body: bytes) -> None:
        try:
            apply_commands(body, self.server.stream.controls)
        except ImavatarError as error:
            self._send_text(HTTPStatus.BAD_REQUEST, str(error))
        else:
            self._send(HTTPStatus.OK, JSON, b"{}")

    def _is_allowed(self) -> bool:
        """Whether the request names this server, and does not come from a page of another site."""
        host = self.headers.get("Host", "")
        origin = self.headers.get("Origin")
        if self.server.address.is_meant_by(host) and origin in (None, f"http://{host}"):
            return True
        self._send_text(HTTPStatus.FORBIDDEN, "this page is served at its own address alone")
        return False

    def _page(self) -> None:
        text = files(__package__).joinpath("page.html").read_bytes()
        if self.server.stream.synthetic_mark:
            text = text.replace(b"<title>", PAGE_MARK + b"<title>", 1)
        self._send(HTTPStatus.OK, "text/html; charset=utf-8", text)

    def _jpeg(self) -> None:
        frame = self.server.screen.next_jpeg(0, TIMEOUT_SECONDS)
        self._picture("image/jpeg", frame and frame[1])

    def _png(self) -> None:
        self._picture("image/png", self.server.screen.png())

    def _picture(self, kind: str, data: bytes | None) -> None:
        if data is None:
            self._send_text(HTTPStatus.SERVICE_UNAVAILABLE, "there is no frame yet")
        else:
            self._send(HTTPStatus.OK, kind, data)

    def _figures(self) -> None:
        stream = self.server.stream
        content = {
            "paused": stream.controls.paused,
            "watching": self.server.watching,
            "figures": _finite(stream.statistics()),
        }
        self._send(HTTPStatus.OK, JSON, json.dumps(content, default=str).encode())

    def _stream(self) -> None:
        with self.server.admit_client() as free:
            if not free:
                self._send_text(
                    HTTPStatus.SERVICE_UNAVAILABLE, "too many are watching; try again later"
                )
                return
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            self._begin(HTTPStatus.OK, f"multipart/x-mixed-replace; boundary={BOUNDARY}")
            self._send_frames()

    def _send_frames(self) -> None:
        """Send frames until the viewer disconnects or the run ends.

        A browser shows a frame once the boundary after it has arrived.
        """
        self.wfile.write(f"--{BOUNDARY}\r\n".encode())
        number = 0
        while (frame := self.server.screen.next_jpeg(number, TIMEOUT_SECONDS)) is not None:
            number, data = frame
            head = f"Content-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            self.wfile.write(head.encode() + data + f"\r\n--{BOUNDARY}\r\n".encode())

    PAGES: ClassVar[dict[str, Callable[[Handler], None]]] = {
        "/": _page,
        "/stream.mjpg": _stream,
        "/frame.jpg": _jpeg,
        "/frame.png": _png,
        "/stats.json": _figures,
    }

    def _send_text(self, status: HTTPStatus, sentence: str) -> None:
        self._send(status, "text/plain; charset=utf-8", f"{sentence}\n".encode())

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self._begin(status, kind, {"Content-Length": str(len(body))})
        self.wfile.write(body)

    def _begin(self, status: HTTPStatus, kind: str, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        marks = {HTTP_HEADER: SOURCE_TYPE} if self.server.stream.synthetic_mark else {}
        for name, value in {"Content-Type": kind, **HEADERS, **marks, **(more or {})}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Do not log requests."""


def _finite(figures: dict[str, Any]) -> dict[str, Any]:
    """Figures with None for numbers that are not finite, which JSON does not have."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in figures.items()
    }


JPEG_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 90]


class Screen:
    """The newest frame for any number of viewers, encoded once, and only on request."""

    def __init__(self, stream: Stream) -> None:
        self._background = white(stream)
        self._synthetic_mark = stream.synthetic_mark
        self._changed = threading.Condition()
        self._image: Image | None = None
        self._number = 0
        self._encoding = threading.Lock()
        self._encoded = (0, b"")
        self.closed = False

    def show(self, image: Image) -> None:
        """Replace the frame, without waiting for viewers."""
        with self._changed:
            self._image = image
            self._number += 1
            self._changed.notify_all()

    def close(self) -> None:
        """End the stream, and wake all waiting viewers."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    def next_jpeg(self, after: int, patience: float) -> tuple[int, bytes] | None:
        """Wait for a frame newer than number `after`; return its number and JPEG.

        Transparency becomes white. None when the screen was closed, or no frame came in `patience`
        seconds.
        """
        with self._changed:
            self._changed.wait_for(lambda: self.closed or self._number > after, patience)
            if self.closed or self._number <= after:
                return None
        with self._encoding:  # the first viewer encodes, the others wait for its result
            with self._changed:
                number = self._number
                image = self._image
            if number > self._encoded[0] and image is not None:
                opaque = over(image, self._background)
                jpeg = _encode(".jpg", cv2.cvtColor(opaque, cv2.COLOR_RGB2BGR))
                jpeg = marked_jpeg(jpeg) if self._synthetic_mark else jpeg
                self._encoded = number, jpeg
            return self._encoded

    def png(self) -> bytes | None:
        """The newest frame as a PNG with its transparency; None before the first."""
        with self._changed:
            image = self._image
        if image is None:
            return None
        png = _encode(".png", cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA))
        return marked_png(png) if self._synthetic_mark else png


def _encode(suffix: str, image: Any) -> bytes:
    success, data = cv2.imencode(suffix, image, JPEG_QUALITY if suffix == ".jpg" else [])
    if not success:
        raise InternalError(f"a frame {image.shape} could not be encoded as {suffix}")
    return bytes(data)


MOST_CONNECTIONS = 64

MOST_VIEWERS = 16
"""Largest number of streams; each costs a thread and its share of the network."""


class PageServer(ThreadingHTTPServer):
    """Serves one stream: call `serve_forever` in a thread, then `shutdown` and `close_all`.

    Raises:
        OSError: the address cannot be listened on.
    """

    daemon_threads = False  # so that `close_all` waits for them
    # elsewhere it would take a port from the program that has it
    allow_reuse_address = os.name == "posix"

    def __init__(self, address: Address, screen: Screen, stream: Stream) -> None:
        self.address = address
        self.screen = screen
        self.stream = stream
        self.watching = self.most_watching = 0
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self.address_family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        super().__init__((address.host, address.port), Handler)

    def server_bind(self) -> None:
        """Bind without the look-up of the host's name in the base class, which may be slow."""
        TCPServer.server_bind(self)
        self.server_name = self.address.host
        self.server_port = self.server_address[1]

    @contextmanager
    def admit_client(self) -> Iterator[bool]:
        """Reserve a viewer's place during a `with` block; yields False when all are taken."""
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
        """Start a thread for a connection, or close it when there are too many."""
        with self._lock:
            free = len(self._connections) < MOST_CONNECTIONS
            if free:
                self._connections.add(request)
        if free:
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection and close it."""
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a viewer that disconnects; report other errors."""
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
