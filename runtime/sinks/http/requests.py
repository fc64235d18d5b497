"""Requests to the page: the table of what is served, and who may request it."""

from __future__ import annotations

import asyncio
import math
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from importlib.resources import files
from typing import Any

from aiohttp import web

from imavatar_deploy.errors import ImavatarError
from imavatar_deploy.marking import TERM

from .answers import (
    JSON,
    TIMEOUT_SECONDS,
    PageState,
    body_answer,
    cut,
    headers_of,
    json_answer,
    limit_buffers,
    text_answer,
)
from .controls_api import REQUEST_BYTES, apply_commands
from .motion import FOLLOW, follow

SEND_BUFFER_BYTES = 1 << 17
"""Size of a viewer's send buffer, bytes: one or two frames, so that a slow one is not far
behind."""

BOUNDARY = "frame"

CONTROL = "/control"
"""Path of commands."""

PAGE_MARK = f'<meta name="digitalSourceType" content="{TERM}">\n'.encode()
"""The mark of the page, which has no addresses of other sites in it."""


async def answer(state: PageState, request: web.BaseRequest) -> web.StreamResponse:
    """Answer one request by its row of `PAGES`, or apply a command.

    The answer to HEAD is that to GET: aiohttp leaves out its body.
    """
    try:
        if request.method not in ("GET", "HEAD", "POST"):
            return text_answer(
                state, HTTPStatus.NOT_IMPLEMENTED, "requests are GET or HEAD, and POST for commands"
            )
        refusal = state.address.refusal(
            request.headers, request.rel_url.query, follows=request.path == FOLLOW
        )
        if refusal is not None:
            return text_answer(state, *refusal)
        if request.method == "POST":
            return await _control(state, request)
        if request.path == CONTROL:
            sentence = f"commands go to {CONTROL} as JSON in a POST"
            refused = text_answer(state, HTTPStatus.METHOD_NOT_ALLOWED, sentence)
            refused.headers["Allow"] = "POST"
            return refused
        page = PAGES.get(request.path)
        if page is None:
            sentence = f"there are {', '.join(PAGES)} and {CONTROL} (POST)"
            return text_answer(state, HTTPStatus.NOT_FOUND, sentence)
        return await page(state, request)
    except (ConnectionError, web.RequestPayloadError):  # the client has disconnected
        raise
    except Exception:
        traceback.print_exc()
        return text_answer(
            state, HTTPStatus.INTERNAL_SERVER_ERROR, "the run cannot answer this request"
        )


# Commands


async def _control(state: PageState, request: web.BaseRequest) -> web.Response:
    """Apply commands, which must come as JSON from this page."""
    length = request.headers.get("Content-Length", "")
    if request.path != CONTROL:
        return text_answer(state, HTTPStatus.NOT_FOUND, f"commands go to {CONTROL}")
    if request.content_type != JSON:
        return text_answer(state, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"a command must be {JSON}")
    if not (length.isascii() and length.isdigit()):
        return text_answer(
            state, HTTPStatus.LENGTH_REQUIRED, "a command must have a Content-Length"
        )
    if len(length) > 9 or int(length) > REQUEST_BYTES:
        return text_answer(
            state,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"a command has at most {REQUEST_BYTES} bytes",
        )
    try:
        body = await asyncio.wait_for(request.read(), TIMEOUT_SECONDS)
        apply_commands(body, state.stream.controls)
    except asyncio.TimeoutError:
        return text_answer(state, HTTPStatus.REQUEST_TIMEOUT, "the command did not arrive whole")
    except ImavatarError as error:
        return text_answer(state, HTTPStatus.BAD_REQUEST, str(error))
    return body_answer(state, HTTPStatus.OK, JSON, b"{}")


# Page, viewer and avatar


async def _page(state: PageState, request: web.BaseRequest) -> web.Response:
    text = files(__package__).joinpath("page.html").read_bytes()
    if state.stream.synthetic_mark:
        text = text.replace(b"<title>", PAGE_MARK + b"<title>", 1)
    return body_answer(state, HTTPStatus.OK, "text/html; charset=utf-8", text)


async def _viewer(state: PageState, request: web.BaseRequest) -> web.Response:
    script = files("imavatar_deploy.viewer").joinpath("viewer.js").read_bytes()
    return body_answer(state, HTTPStatus.OK, "text/javascript; charset=utf-8", script)


async def _avatar(state: PageState, request: web.BaseRequest) -> web.Response:
    if state.avatar.obstacle:
        return text_answer(
            state,
            HTTPStatus.NOT_FOUND,
            f"browsers cannot draw this avatar: {state.avatar.obstacle}",
        )
    data = await asyncio.to_thread(state.avatar.data)
    return body_answer(state, HTTPStatus.OK, "application/octet-stream", data)


async def _live(state: PageState, request: web.BaseRequest) -> web.Response:
    content = {
        "obstacle": state.avatar.obstacle,
        "avatar": state.avatar.digest,
        "mirrored": state.stream.mirrored,
    }
    return json_answer(state, content)


# Pictures


async def _jpeg(state: PageState, request: web.BaseRequest) -> web.Response:
    with state.screen.client() as number:
        frame = await state.screen.next_jpeg(number, TIMEOUT_SECONDS)
    return _picture(state, "image/jpeg", frame and frame[1])


async def _png(state: PageState, request: web.BaseRequest) -> web.Response:
    with state.screen.client() as number:
        data = await state.screen.png(number, TIMEOUT_SECONDS)
    return _picture(state, "image/png", data)


def _picture(state: PageState, kind: str, data: bytes | None) -> web.Response:
    if data is None:
        return text_answer(state, HTTPStatus.SERVICE_UNAVAILABLE, "there is no frame yet")
    return body_answer(state, HTTPStatus.OK, kind, data)


async def _pictures(state: PageState, request: web.BaseRequest) -> web.StreamResponse:
    """Send frames until the viewer disconnects or the run ends.

    A browser shows a frame once the boundary after it has arrived.
    """
    kind = f"multipart/x-mixed-replace; boundary={BOUNDARY}"
    if request.method == "HEAD":
        return web.Response(headers=headers_of(state, kind))
    with state.viewers.admit_client() as free, state.screen.client() as number:
        if not free:
            return text_answer(
                state, HTTPStatus.SERVICE_UNAVAILABLE, "too many are watching; try again later"
            )
        limit_buffers(request, SEND_BUFFER_BYTES)
        response = web.StreamResponse(headers=headers_of(state, kind))
        response.force_close()
        await response.prepare(request)
        await response.write(f"--{BOUNDARY}\r\n".encode())
        while (frame := await state.screen.next_jpeg(number, TIMEOUT_SECONDS)) is not None:
            number, data = frame
            head = f"Content-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            part = head.encode() + data + f"\r\n--{BOUNDARY}\r\n".encode()
            try:
                await asyncio.wait_for(response.write(part), TIMEOUT_SECONDS)
            except asyncio.TimeoutError:
                cut(request)
                break
        return response


# Figures


async def _figures(state: PageState, request: web.BaseRequest) -> web.Response:
    content = {
        "paused": state.stream.controls.paused,
        "watching": state.viewers.taken + state.followers.taken,
        "figures": _finite(state.stream.statistics()),
    }
    return json_answer(state, content)


async def _health(state: PageState, request: web.BaseRequest) -> web.Response:
    """200 while frames come, 503 when none has come for `TIMEOUT_SECONDS`."""
    silent = state.screen.silence
    well = silent < TIMEOUT_SECONDS
    content = {
        "status": "ok" if well else f"no frame for {silent:.0f} s",
        "frames": state.screen.frames,
        "seconds": round(time.monotonic() - state.began, 1),
    }
    return json_answer(state, content, HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE)


async def _metrics(state: PageState, request: web.BaseRequest) -> web.Response:
    text = metrics_text(
        {
            "frames_total": state.screen.frames,
            "pictures_total": state.screen.number,
            "viewers": state.viewers.taken,
            "followers": state.followers.taken,
            "packets_sent_total": state.broadcast.sent,
            "packets_dropped_total": state.broadcast.dropped,
        },
        state.stream.statistics(),
    )
    return body_answer(
        state, HTTPStatus.OK, "text/plain; version=0.0.4; charset=utf-8", text.encode()
    )


METRIC_PREFIX = "imavatar_"

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def metrics_text(counts: Mapping[str, int], figures: Mapping[str, Any]) -> str:
    """Return the text format of Prometheus.

    Counts have metrics of their own; the numbers among the figures are labelled gauges.

    Args:
        counts: name -> value; one that ends in `_total` only grows.
        figures: text -> value, as a run displays them.
    """
    lines = []
    for name, value in counts.items():
        kind = "counter" if name.endswith("_total") else "gauge"
        lines += [f"# TYPE {METRIC_PREFIX}{name} {kind}", f"{METRIC_PREFIX}{name} {value}"]
    lines.append(f"# TYPE {METRIC_PREFIX}figure gauge")
    lines += [
        f'{METRIC_PREFIX}figure{{name="{name.translate(_ESCAPES)}"}} {float(value)!r}'
        for name, value in figures.items()
        if isinstance(value, (int, float)) and math.isfinite(value)
    ]
    return "\n".join(lines) + "\n"


PAGES: dict[str, Callable[[PageState, web.BaseRequest], Awaitable[web.StreamResponse]]] = {
    "/": _page,
    "/viewer.js": _viewer,
    "/avatar.bin": _avatar,
    "/live.json": _live,
    FOLLOW: follow,
    "/stream.mjpg": _pictures,
    "/frame.jpg": _jpeg,
    "/frame.png": _png,
    "/stats.json": _figures,
    "/health": _health,
    "/metrics": _metrics,
}
"""The table of what is served; the first function of a row answers a request for its path."""


def _finite(figures: dict[str, Any]) -> dict[str, Any]:
    """Figures with None for numbers that are not finite, which JSON does not have."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in figures.items()
    }
