"""Motion: the WebSocket of the page, one task for each follower."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from http import HTTPStatus

from aiohttp import WSCloseCode, web

from .answers import TIMEOUT_SECONDS, PageState, cut, headers_of, limit_buffers, text_answer
from .broadcast import Follower

FOLLOW = "/live"
"""Path of the WebSocket."""

FOLLOWER_BUFFER_BYTES = 1 << 13
"""Size of a follower's send buffer, bytes: about a second of packets."""

HEARTBEAT_SECONDS = 20.0
"""Seconds between two pings to a follower; one that does not answer in half of that is closed."""

MESSAGE_BYTES = 256
"""Longest message that is read from a follower, which has nothing to send."""

CLOSING_SECONDS = 1.0
"""Seconds for a follower to answer the end of its WebSocket."""


async def follow(state: PageState, request: web.BaseRequest) -> web.StreamResponse:
    """Send the packets of the motion over a WebSocket, which must not send anything itself."""
    if state.broadcast.edition is None:
        return text_answer(state, HTTPStatus.NOT_FOUND, "packets have no code for this head model")
    if request.method != "GET" or request.headers.get("Upgrade", "").lower() != "websocket":
        return text_answer(state, HTTPStatus.UPGRADE_REQUIRED, f"{FOLLOW} is a WebSocket")
    if "Sec-WebSocket-Protocol" in request.headers:
        return text_answer(state, HTTPStatus.BAD_REQUEST, f"{FOLLOW} has no subprotocol")
    with state.followers.admit_client() as free:
        if not free:
            return text_answer(
                state, HTTPStatus.SERVICE_UNAVAILABLE, "too many are following; try again later"
            )
        response = web.WebSocketResponse(
            heartbeat=HEARTBEAT_SECONDS,
            max_msg_size=MESSAGE_BYTES,
            timeout=CLOSING_SECONDS,
            compress=False,
            writer_limit=1,  # so that every packet waits for its place in the buffer
        )
        response.headers.update(headers_of(state))
        try:
            await response.prepare(request)
        except web.HTTPException as error:
            return text_answer(state, HTTPStatus.BAD_REQUEST, f"not a WebSocket: {error.text}")
        limit_buffers(request, FOLLOWER_BUFFER_BYTES)
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
        with suppress(asyncio.TimeoutError, ConnectionError):
            await asyncio.wait_for(response.close(code=code), 2 * CLOSING_SECONDS)
    finally:
        if request.transport is not None and request.transport.get_write_buffer_size():
            cut(request)  # closing waits for what a stalled client never takes


async def _send_packets(
    state: PageState, response: web.WebSocketResponse, follower: Follower
) -> None:
    """Send packets and cameras until the client has not taken one within the time limit."""
    with suppress(asyncio.TimeoutError, ConnectionError):
        while True:
            for message in await follower.next():
                if isinstance(message, str):
                    await asyncio.wait_for(response.send_str(message), TIMEOUT_SECONDS)
                else:
                    await asyncio.wait_for(response.send_bytes(message), TIMEOUT_SECONDS)
                    state.broadcast.sent += 1
