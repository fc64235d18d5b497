"""Handler: answers one request for the page, its pictures, its figures, or an order."""

from __future__ import annotations

import json
import math
import socket
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from importlib.resources import files
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from imavatar_deploy.errors import ImavatarError

from .orders import MOST_BYTES, obey

if TYPE_CHECKING:
    from .server import PageServer

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
            self._say(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"an order has at most {MOST_BYTES} bytes")
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
        told = {"paused": controls.paused, "watching": self.server.watching, "figures": _plain(figures)}
        self._answer(HTTPStatus.OK, JSON, json.dumps(told, default=str).encode())

    def _stream(self) -> None:
        with self.server.seat() as free:
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
