"""Requests to the page: the table of what is served, and who may request it."""

from __future__ import annotations

import asyncio
import json
import math
import socket
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from importlib.resources import files
from typing import Any

from aiohttp import WSCloseCode, web

from imavatar_deploy.errors import ImavatarError
from imavatar_deploy.marking import HTTP_HEADER, SOURCE_TYPE, TERM

from ..sink import Stream
from .address import Address
from .broadcast import Broadcast, Follower
from .browser_avatar import BrowserAvatar
from .controls_api import REQUEST_BYTES, apply_commands
from .metrics import metrics_text
from .screen import Screen

TIMEOUT_SECONDS = 10.0
"""Time limit of sending to a client, of receiving from one, and of a new frame, seconds."""

SEND_BUFFER_BYTES = 1 << 17
"""Size of a viewer's send buffer, bytes: one or two frames, so that a slow one is not far
behind."""

FOLLOWER_BUFFER_BYTES = 1 << 13
"""The same of a follower, of about a second of packets."""

HEARTBEAT_SECONDS = 20.0
"""Seconds between two pings to a follower; one that does not answer in half of that is closed."""

MESSAGE_BYTES = 256
"""Longest message that is read from a follower, which has nothing to send."""

CLOSING_SECONDS = 1.0
"""Seconds for a follower to answer the end of its WebSocket."""

BOUNDARY = "frame"

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

PAGE_MARK = f'<meta name="digitalSourceType" content="{TERM}">\n'.encode()
"""The mark of the page, which has no addresses of other sites in it."""


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


async def answer(state: PageState, request: web.BaseRequest) -> web.StreamResponse:
    """Answer one request by its row of `PAGES`, or apply a command."""
    try:
        if request.method not in ("GET", "POST"):
            return _text(
                state, HTTPStatus.NOT_IMPLEMENTED, "requests are GET, and POST for commands"
            )
        refusal = state.address.refusal(
            request.headers, request.rel_url.query, follows=request.path == FOLLOW
        )
        if refusal is not None:
            return _text(state, *refusal)
        if request.method == "POST":
            return await _control(state, request)
        page = PAGES.get(request.path)
        if page is None:
            return _text(state, HTTPStatus.NOT_FOUND, f"there are {', '.join(PAGES)}")
        return await page(state, request)
    except ConnectionError:  # the client has disconnected
        raise
    except Exception:
        traceback.print_exc()
        return _text(state, HTTPStatus.INTERNAL_SERVER_ERROR, "the run cannot answer this request")


# Commands


async def _control(state: PageState, request: web.BaseRequest) -> web.Response:
    """Apply commands, which must come as JSON from this page."""
    length = request.headers.get("Content-Length", "")
    if request.path != "/control":
        return _text(state, HTTPStatus.NOT_FOUND, "commands go to /control")
    if request.content_type != JSON:
        return _text(state, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"a command must be {JSON}")
    if not (length.isascii() and length.isdigit()):
        return _text(state, HTTPStatus.LENGTH_REQUIRED, "a command must have a Content-Length")
    if len(length) > 9 or int(length) > REQUEST_BYTES:
        return _text(
            state,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"a command has at most {REQUEST_BYTES} bytes",
        )
    try:
        body = await asyncio.wait_for(request.read(), TIMEOUT_SECONDS)
        apply_commands(body, state.stream.controls)
    except asyncio.TimeoutError:
        return _text(state, HTTPStatus.REQUEST_TIMEOUT, "the command did not arrive whole")
    except ImavatarError as error:
        return _text(state, HTTPStatus.BAD_REQUEST, str(error))
    return _body(state, HTTPStatus.OK, JSON, b"{}")


# Page, viewer and avatar


async def _page(state: PageState, request: web.BaseRequest) -> web.Response:
    text = files(__package__).joinpath("page.html").read_bytes()
    if state.stream.synthetic_mark:
        text = text.replace(b"<title>", PAGE_MARK + b"<title>", 1)
    return _body(state, HTTPStatus.OK, "text/html; charset=utf-8", text)


async def _viewer(state: PageState, request: web.BaseRequest) -> web.Response:
    script = files("imavatar_deploy.viewer").joinpath("viewer.js").read_bytes()
    return _body(state, HTTPStatus.OK, "text/javascript; charset=utf-8", script)


async def _avatar(state: PageState, request: web.BaseRequest) -> web.Response:
    if state.avatar.obstacle:
        return _text(
            state,
            HTTPStatus.NOT_FOUND,
            f"browsers cannot draw this avatar: {state.avatar.obstacle}",
        )
    data = await asyncio.to_thread(state.avatar.data)
    return _body(state, HTTPStatus.OK, "application/octet-stream", data)


async def _live(state: PageState, request: web.BaseRequest) -> web.Response:
    content = {
        "obstacle": state.avatar.obstacle,
        "avatar": state.avatar.digest,
        "mirrored": state.stream.mirrored,
    }
    return _json(state, content)


# Pictures


async def _jpeg(state: PageState, request: web.BaseRequest) -> web.Response:
    frame = await state.screen.next_jpeg(0, TIMEOUT_SECONDS)
    return _picture(state, "image/jpeg", frame and frame[1])


async def _png(state: PageState, request: web.BaseRequest) -> web.Response:
    return _picture(state, "image/png", await state.screen.png())


def _picture(state: PageState, kind: str, data: bytes | None) -> web.Response:
    if data is None:
        return _text(state, HTTPStatus.SERVICE_UNAVAILABLE, "there is no frame yet")
    return _body(state, HTTPStatus.OK, kind, data)


async def _pictures(state: PageState, request: web.BaseRequest) -> web.StreamResponse:
    """Send frames until the viewer disconnects or the run ends.

    A browser shows a frame once the boundary after it has arrived.
    """
    with state.viewers.admit_client() as free:
        if not free:
            return _text(
                state, HTTPStatus.SERVICE_UNAVAILABLE, "too many are watching; try again later"
            )
        _limit_buffers(request, SEND_BUFFER_BYTES)
        kind = f"multipart/x-mixed-replace; boundary={BOUNDARY}"
        response = web.StreamResponse(headers=_headers(state, kind))
        response.force_close()
        await response.prepare(request)
        await response.write(f"--{BOUNDARY}\r\n".encode())
        number = 0
        while (frame := await state.screen.next_jpeg(number, TIMEOUT_SECONDS)) is not None:
            number, data = frame
            head = f"Content-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            part = head.encode() + data + f"\r\n--{BOUNDARY}\r\n".encode()
            try:
                await asyncio.wait_for(response.write(part), TIMEOUT_SECONDS)
            except asyncio.TimeoutError:
                _cut(request)
                break
        return response


# Motion


async def _follow(state: PageState, request: web.BaseRequest) -> web.StreamResponse:
    """Send the packets of the motion over a WebSocket, which must not send anything itself."""
    if state.broadcast.edition is None:
        return _text(state, HTTPStatus.NOT_FOUND, "packets have no code for this head model")
    if request.headers.get("Upgrade", "").lower() != "websocket":
        return _text(state, HTTPStatus.UPGRADE_REQUIRED, f"{FOLLOW} is a WebSocket")
    if "Sec-WebSocket-Protocol" in request.headers:
        return _text(state, HTTPStatus.BAD_REQUEST, f"{FOLLOW} has no subprotocol")
    with state.followers.admit_client() as free:
        if not free:
            return _text(
                state, HTTPStatus.SERVICE_UNAVAILABLE, "too many are following; try again later"
            )
        response = web.WebSocketResponse(
            heartbeat=HEARTBEAT_SECONDS,
            max_msg_size=MESSAGE_BYTES,
            timeout=CLOSING_SECONDS,
            compress=False,
            writer_limit=1,  # so that every packet waits for its place in the buffer
        )
        response.headers.update(_headers(state))
        try:
            await response.prepare(request)
        except web.HTTPException as error:
            return _text(state, HTTPStatus.BAD_REQUEST, f"not a WebSocket: {error.text}")
        _limit_buffers(request, FOLLOWER_BUFFER_BYTES)
        follower = state.broadcast.add()
        try:
            await _send_until_end(state, request, response, follower)
        finally:
            state.broadcast.remove(follower)
        return response


async def _send_until_end(
    state: PageState,
    request: web.BaseRequest,
    response: web.WebSocketResponse,
    follower: Follower,
) -> None:
    """Send packets until the client ends or sends anything, is stalled, or the run ends."""
    sending = asyncio.ensure_future(_send_packets(state, response, follower))
    receiving = asyncio.ensure_future(response.receive())
    ending = asyncio.ensure_future(state.ended.wait())
    tasks = {
        ending: WSCloseCode.GOING_AWAY,
        receiving: WSCloseCode.POLICY_VIOLATION,
        sending: WSCloseCode.TRY_AGAIN_LATER,
    }
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        code = next(code for task, code in tasks.items() if task in done)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    try:
        await asyncio.wait_for(response.close(code=code), 2 * CLOSING_SECONDS)
    except (asyncio.TimeoutError, ConnectionError):
        _cut(request)


async def _send_packets(
    state: PageState, response: web.WebSocketResponse, follower: Follower
) -> None:
    """Send packets until the client has not taken one within the time limit."""
    with suppress(asyncio.TimeoutError, ConnectionError):
        while True:
            packet = await follower.next()
            await asyncio.wait_for(response.send_bytes(packet), TIMEOUT_SECONDS)
            state.broadcast.sent += 1


# Figures


async def _figures(state: PageState, request: web.BaseRequest) -> web.Response:
    content = {
        "paused": state.stream.controls.paused,
        "watching": state.viewers.taken + state.followers.taken,
        "figures": _finite(state.stream.statistics()),
    }
    return _json(state, content)


async def _health(state: PageState, request: web.BaseRequest) -> web.Response:
    """200 while frames come, 503 when none has come for `TIMEOUT_SECONDS`."""
    silent = state.screen.silence
    well = silent < TIMEOUT_SECONDS
    content = {
        "status": "ok" if well else f"no frame for {silent:.0f} s",
        "frames": state.screen.number,
        "seconds": round(time.monotonic() - state.began, 1),
    }
    return _json(state, content, HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE)


async def _metrics(state: PageState, request: web.BaseRequest) -> web.Response:
    text = metrics_text(
        {
            "frames_total": state.screen.number,
            "viewers": state.viewers.taken,
            "followers": state.followers.taken,
            "packets_sent_total": state.broadcast.sent,
            "packets_dropped_total": state.broadcast.dropped,
        },
        state.stream.statistics(),
    )
    return _body(state, HTTPStatus.OK, "text/plain; version=0.0.4; charset=utf-8", text.encode())


FOLLOW = "/live"

PAGES: dict[str, Callable[[PageState, web.BaseRequest], Awaitable[web.StreamResponse]]] = {
    "/": _page,
    "/viewer.js": _viewer,
    "/avatar.bin": _avatar,
    "/live.json": _live,
    FOLLOW: _follow,
    "/stream.mjpg": _pictures,
    "/frame.jpg": _jpeg,
    "/frame.png": _png,
    "/stats.json": _figures,
    "/health": _health,
    "/metrics": _metrics,
}
"""The table of what is served; the first function of a row answers a request for its path."""


# Answers


def _headers(state: PageState, kind: str | None = None) -> dict[str, str]:
    marks = {HTTP_HEADER: SOURCE_TYPE} if state.stream.synthetic_mark else {}
    return {**HEADERS, **marks, **({"Content-Type": kind} if kind else {})}


def _body(state: PageState, status: HTTPStatus, kind: str, body: bytes) -> web.Response:
    return web.Response(status=status, body=body, headers=_headers(state, kind))


def _text(state: PageState, status: HTTPStatus, sentence: str) -> web.Response:
    return _body(state, status, "text/plain; charset=utf-8", f"{sentence}\n".encode())


def _json(
    state: PageState, content: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK
) -> web.Response:
    return _body(state, status, JSON, json.dumps(content, default=str).encode())


def _finite(figures: dict[str, Any]) -> dict[str, Any]:
    """Figures with None for numbers that are not finite, which JSON does not have."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in figures.items()
    }


def _limit_buffers(request: web.BaseRequest, size: int) -> None:
    """Limit what waits for a slow client, in the kernel and in this process."""
    if (transport := request.transport) is not None:
        transport.set_write_buffer_limits(high=size)
        if (opened := transport.get_extra_info("socket")) is not None:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)


def _cut(request: web.BaseRequest) -> None:
    """Close the connection of a client without waiting for it."""
    if request.transport is not None:
        request.transport.abort()
