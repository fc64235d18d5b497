"""Answers of the page: their headers, and the buffers behind them; what requests share."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from aiohttp import web

from imavatar_deploy.marking import HTTP_HEADER, SOURCE_TYPE

from ..sink import Stream
from .address import Address
from .broadcast import Broadcast
from .browser_avatar import BrowserAvatar
from .screen import Screen

TIMEOUT_SECONDS = 10.0
"""Time limit of sending to a client, of receiving from one, and of a new frame, seconds."""

AT_ONCE = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
"""The `linger` of a socket that forgets what it has not sent, and tells the client so."""

JSON = "application/json"
"""Media type of commands. Browsers let other sites send it only after a preflight, which fails
here."""

HEADERS = {
    "Cache-Control": "no-store",
    "Server": "imavatar",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; connect-src 'self'; "
    "style-src 'unsafe-inline'; script-src 'self' 'unsafe-inline'; frame-ancestors 'none'",
}
"""Forbid pages of other sites to read or embed any of this."""


class Places:
    """A limited number of places for clients of one kind."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = self.most_taken = 0

    @contextmanager
    def admit_client(self) -> Iterator[bool]:
        """Reserve a place during a `with` block; yields False when all are taken."""
        free = self.taken < self.most
        self.taken += free
        self.most_taken = max(self.most_taken, self.taken)
        try:
            yield free
        finally:
            self.taken -= free


@dataclass
class PageState:
    """What the requests of one run share."""

    address: Address
    stream: Stream
    screen: Screen
    broadcast: Broadcast
    avatar: BrowserAvatar
    viewers: Places
    """Clients of the stream of pictures."""
    followers: Places
    """Clients of the WebSocket."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    began: float = field(default_factory=time.monotonic)


def headers_of(state: PageState, kind: str | None = None) -> dict[str, str]:
    """Return the headers of every answer."""
    marks = {HTTP_HEADER: SOURCE_TYPE} if state.stream.synthetic_mark else {}
    return {**HEADERS, **marks, **({"Content-Type": kind} if kind else {})}


def body_answer(state: PageState, status: HTTPStatus, kind: str, body: bytes) -> web.Response:
    """Return an answer with a body of a media type."""
    return web.Response(status=status, body=body, headers=headers_of(state, kind))


def text_answer(state: PageState, status: HTTPStatus, sentence: str) -> web.Response:
    """Return an answer of one sentence."""
    return body_answer(state, status, "text/plain; charset=utf-8", f"{sentence}\n".encode())


def json_answer(
    state: PageState, content: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK
) -> web.Response:
    """Return an answer of JSON."""
    return body_answer(state, status, JSON, json.dumps(content, default=str).encode())


def limit_buffers(request: web.BaseRequest, size: int) -> None:
    """Limit what waits for a slow client, in the kernel and in this process."""
    if (transport := request.transport) is not None:
        transport.set_write_buffer_limits(high=size)
        if (opened := transport.get_extra_info("socket")) is not None:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)


def cut(request: web.BaseRequest) -> None:
    """Reset the connection of a client that does not take what it is sent."""
    if (transport := request.transport) is None:
        return
    if (opened := transport.get_extra_info("socket")) is not None:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
    transport.abort()
