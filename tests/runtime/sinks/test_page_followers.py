"""WebSockets of the page: what followers get, and which are refused."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

import aiohttp
import numpy as np
import pytest

from imavatar_deploy.camera import Camera
from imavatar_deploy.errors import UsageError
from imavatar_deploy.runtime.sinks import Sink, Stream, open_sink
from imavatar_deploy.runtime.sinks.http import broadcast, motion, requests, server
from imavatar_deploy.runtime.sinks.http.address import Address, read_address
from imavatar_deploy.runtime.sinks.http.broadcast import QUEUE_PACKETS
from imavatar_deploy.runtime.sinks.http.requests import metrics_text
from imavatar_deploy.runtime.sinks.http.server import MOST_FOLLOWERS
from imavatar_deploy.runtime.streams import decode
from imavatar_deploy.runtime.streams.camera_message import decode_camera

STREAM = Stream(48, 32, 25.0, edition="openhead")
LIMIT = 60.0
"""Seconds of one conversation."""

TOKEN = "a-token-of-20-letters"
Result = TypeVar("Result")


@pytest.fixture
def sink() -> Iterator[Sink]:
    with open_sink("http://127.0.0.1:0", STREAM) as sink:
        yield sink


def address_of(sink: Sink) -> str:
    match = re.search(r"http://[^/\s]+", sink.greeting)
    assert match
    return match[0].replace("0.0.0.0", "127.0.0.1")


def write(sink: Sink, value: float) -> None:
    assert sink.write_face is not None
    sink.write_face(np.full(50, value, np.float32), np.zeros(15, np.float32))


def talk(sink: Sink, conversation: Callable[[aiohttp.ClientSession], Awaitable[Result]]) -> Result:
    """Run a conversation with the page."""

    async def limited() -> Result:
        async with aiohttp.ClientSession(base_url=address_of(sink)) as session:
            return await asyncio.wait_for(conversation(session), LIMIT)

    return asyncio.run(limited())


async def next_face(follower: aiohttp.ClientWebSocketResponse) -> Any:
    while True:
        packet = decode(await follower.receive_bytes(timeout=LIMIT))
        if len(packet.weights):
            return packet


def test_followers_get_the_newest_face_and_then_each(sink: Sink) -> None:
    async def conversation(session: aiohttp.ClientSession) -> list[Any]:
        write(sink, 0.125)
        write(sink, 0.25)
        await asyncio.sleep(0.2)
        async with session.ws_connect("/live") as follower:
            packets = [await next_face(follower)]
            for value in (0.5, 0.75):
                write(sink, value)
                packets.append(await next_face(follower))
            return packets

    packets = talk(sink, conversation)
    assert [packet.weights[7] for packet in packets] == pytest.approx([0.25, 0.5, 0.75], abs=1e-4)
    assert np.diff([packet.sequence for packet in packets]).tolist() == [1, 1]
    times = [packet.time for packet in packets]
    assert times == sorted(times)
    assert time.monotonic() - LIMIT < times[0] < time.monotonic()


def test_without_a_face_the_page_still_sends(sink: Sink) -> None:
    async def conversation(session: aiohttp.ClientSession) -> Any:
        async with session.ws_connect("/live") as follower:
            return [decode(await follower.receive_bytes(timeout=10)) for _ in range(2)]

    first, second = talk(sink, conversation)
    assert (len(first.weights), len(first.pose), second.sequence - first.sequence) == (0, 0, 1)


def test_cameras_come_before_the_packets_that_they_are_of(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where they change, once in a while, and to new followers; without cameras there are none."""
    front, left = (Camera.looking_at([0, 0, 0], yaw=yaw) for yaw in (0.0, 0.25))
    assert sink.write_camera is not None
    write_camera = sink.write_camera
    monkeypatch.setattr(broadcast, "CAMERA_SECONDS", 60.0)

    async def next_frame(follower: aiohttp.ClientWebSocketResponse) -> list[Any]:
        messages: list[Any] = []
        while True:
            message = await follower.receive(timeout=LIMIT)
            if message.type is aiohttp.WSMsgType.TEXT:
                messages.append(decode_camera(message.data))
            elif len(decode(message.data).weights):
                return messages

    async def conversation(session: aiohttp.ClientSession) -> list[list[Any]]:
        rows = []
        async with session.ws_connect("/live") as follower:
            for camera in (None, front, front, left, None, None):
                write_camera(camera)
                write(sink, 0.5)
                rows.append(await next_frame(follower))
            write_camera(left)
            write(sink, 0.5)
            await next_frame(follower)
            async with session.ws_connect("/live") as late:
                rows.append(await next_frame(late))
                monkeypatch.setattr(broadcast, "CAMERA_SECONDS", 0.0)
                write(sink, 0.5)
                rows.append(await next_frame(late))
        return rows

    none, first, same, turned, ended, still_none, newest, again = talk(sink, conversation)
    assert (none, same, ended, still_none) == ([], [], [None], [])
    for cameras, expected in ((first, front), (turned, left), (newest, left), (again, left)):
        assert len(cameras) == 1
        np.testing.assert_array_equal(cameras[0].world_to_camera, expected.world_to_camera)


@contextmanager
def faces(sink: Sink, rate: float) -> Iterator[None]:
    """Write faces from a thread."""
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(1 / rate):
            write(sink, 0.5)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(LIMIT)


def stalled(sink: Sink) -> socket.socket:
    """A follower that never reads, with a small buffer."""
    port = int(address_of(sink).rpartition(":")[2])
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    client.settimeout(LIMIT)
    client.connect(("127.0.0.1", port))
    client.sendall(
        b"GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    return client


def test_twenty_followers_lose_nothing_beside_a_stalled_one(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """19 read; the one that does not read loses packets, and is disconnected after a while."""
    monkeypatch.setattr(motion, "TIMEOUT_SECONDS", 2.0)
    wanted = 900

    async def read(session: aiohttp.ClientSession) -> list[int]:
        async with session.ws_connect("/live") as follower:
            return [(await next_face(follower)).sequence for _ in range(wanted)]

    async def conversation(session: aiohttp.ClientSession) -> tuple[list[list[int]], str]:
        rows = await asyncio.gather(*(read(session) for _ in range(19)))
        deadline = time.monotonic() + LIMIT / 2
        while True:
            metrics = await (await session.get("/metrics")).text()
            if "imavatar_followers 0" in metrics or time.monotonic() > deadline:
                return rows, metrics
            await asyncio.sleep(0.1)

    client = stalled(sink)
    with faces(sink, 200):
        rows, metrics = talk(sink, conversation)
    client.close()
    assert len(rows) == 19
    for row in rows:
        assert np.diff(row).tolist() == [1] * (wanted - 1), "a follower has lost packets"
    assert "imavatar_followers 0" in metrics, "the stalled follower is disconnected"
    dropped = re.search(r"imavatar_packets_dropped_total (\d+)", metrics)
    assert dropped
    assert int(dropped[1]) > QUEUE_PACKETS, "the stalled follower alone loses packets"


@pytest.mark.parametrize("limit", ["TIMEOUT_SECONDS", "HEARTBEAT_SECONDS"])
def test_a_stalled_follower_is_cut(limit: str, sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the time limit of a packet, or of the answer to a ping; its connection is free again."""
    monkeypatch.setattr(motion, limit, 1.5)
    monkeypatch.setattr(server, "MOST_CONNECTIONS", 2)

    async def conversation(session: aiohttp.ClientSession) -> None:
        while "imavatar_followers 1" not in await (await session.get("/metrics")).text():
            await asyncio.sleep(0.1)
        while "imavatar_followers 0" not in await (await session.get("/metrics")).text():
            await asyncio.sleep(0.1)

    client = stalled(sink)
    with faces(sink, 400), client:
        talk(sink, conversation)
        time.sleep(0.2)
        port = int(address_of(sink).rpartition(":")[2])
        with ExitStack() as stack:
            for _ in range(2):
                other = socket.create_connection(("127.0.0.1", port), timeout=10)
                stack.enter_context(other)
                other.sendall(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                assert other.recv(100).startswith(b"HTTP/1.1 200")
        client.settimeout(10)
        with pytest.raises(ConnectionResetError):
            while client.recv(1 << 16):
                """Skip what came before."""


def test_a_follower_that_sends_is_disconnected(sink: Sink) -> None:
    async def conversation(session: aiohttp.ClientSession) -> list[int | None]:
        codes = []
        for message in ("pause", "x" * 100_000):
            async with session.ws_connect("/live", autoclose=False) as follower:
                await follower.send_str(message)
                while (await follower.receive(timeout=10)).type is aiohttp.WSMsgType.BINARY:
                    """Skip packets."""
                codes.append(follower.close_code)
        return codes

    assert talk(sink, conversation) == [1008, 1009]


def test_followers_are_bounded_and_a_place_is_given_back(sink: Sink) -> None:
    async def conversation(session: aiohttp.ClientSession) -> int:
        followers = [await session.ws_connect("/live") for _ in range(MOST_FOLLOWERS)]
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect("/live")
        await followers[0].close()
        await asyncio.sleep(0.3)
        await session.ws_connect("/live")
        return refused.value.status

    assert talk(sink, conversation) == 503
    assert f"watched by {MOST_FOLLOWERS} browsers" in sink.report()


def test_connections_are_bounded(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_CONNECTIONS", 4)
    port = int(address_of(sink).rpartition(":")[2])
    opened = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(5)]
    try:
        assert opened[4].recv(1) == b"", "it is closed at once"
        opened[0].sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert opened[0].recv(100).startswith(b"HTTP/1.1 200")
    finally:
        for each in opened:
            each.close()


@pytest.mark.parametrize("sent", [b"", b"GET /hea"])
def test_a_connection_without_a_request_is_closed(
    sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "IDLE_SECONDS", 0.5)
    with open_sink("http://127.0.0.1:0", STREAM) as sink:
        port = int(address_of(sink).rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as silent:
            silent.sendall(sent)
            assert silent.recv(1) == b""


def test_the_end_of_a_run_ends_followers() -> None:
    with open_sink("http://127.0.0.1:0", STREAM) as sink:
        ended = threading.Event()
        codes: list[int | None] = []

        async def conversation(session: aiohttp.ClientSession) -> None:
            async with session.ws_connect("/live") as follower:
                ended.set()
                async for _ in follower:
                    """Skip packets."""
                codes.append(follower.close_code)

        thread = threading.Thread(target=talk, args=(sink, conversation))
        thread.start()
        assert ended.wait(LIMIT)
        time.sleep(0.2)
    thread.join(LIMIT)
    assert codes == [1001]


@pytest.mark.parametrize(
    ("headers", "status", "sentence"),
    [
        ({"Origin": "http://evil.example"}, 403, "served at its own address alone"),
        ({"Origin": "null"}, 403, "served at its own address alone"),
        ({"Origin": "http://127.0.0.1.evil.example"}, 403, "?origin="),
        ({"Host": "evil.example"}, 403, "served at its own address alone"),
        ({"Sec-WebSocket-Protocol": "chat"}, 400, "no subprotocol"),
        ({"Sec-WebSocket-Version": "99"}, 400, "not a WebSocket"),
    ],
)
def test_a_hostile_handshake_gets_a_sentence(
    headers: dict[str, str], status: int, sentence: str, sink: Sink
) -> None:
    handshake = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }

    async def conversation(session: aiohttp.ClientSession) -> tuple[int, str]:
        answer = await session.get("/live", headers=handshake | headers)
        return answer.status, await answer.text()

    got, text = talk(sink, conversation)
    assert got == status
    assert sentence in text


def test_a_plain_request_for_the_motion_gets_a_sentence(sink: Sink) -> None:
    async def conversation(session: aiohttp.ClientSession) -> tuple[int, str]:
        answer = await session.get("/live")
        return answer.status, await answer.text()

    assert talk(sink, conversation) == (426, "/live is a WebSocket\n")


def test_a_stream_without_a_head_model_has_no_motion() -> None:
    with open_sink("http://127.0.0.1:0", Stream(48, 32, 25.0)) as sink:
        assert sink.write_face is None

        async def conversation(session: aiohttp.ClientSession) -> tuple[int, str, str]:
            live = await session.get("/live")
            avatar = await session.get("/avatar.bin")
            state = await (await session.get("/live.json")).json()
            return live.status, await avatar.text(), state["obstacle"]

        status, sentence, obstacle = talk(sink, conversation)
    assert status == 404
    assert obstacle == "this run has no avatar folder"
    assert obstacle in sentence


# Token and origins


def test_beyond_loopback_every_request_needs_the_token() -> None:
    with open_sink(f"http://0.0.0.0:0/?token={TOKEN}", STREAM) as sink:
        assert f"/?token={TOKEN} " in sink.greeting
        bearer = {"Authorization": f"Bearer {TOKEN}"}

        async def conversation(session: aiohttp.ClientSession) -> list[int]:
            statuses = []
            for path in ("/", "/viewer.js", "/health", "/live", "/stream.mjpg"):
                for wrong in ("", "?token=", "?token=" + TOKEN[:-1], "?token=%ff"):
                    answer = await session.get(path + wrong)
                    assert answer.status == 401, (path, wrong)
                    assert "open the link that the run has printed" in await answer.text()
            pause = await session.post("/control", json={"pause": True})
            statuses.append(pause.status)
            statuses.append((await session.get(f"/viewer.js?token={TOKEN}")).status)
            statuses.append((await session.get("/viewer.js", headers=bearer)).status)
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect("/live")
            statuses.append(refused.value.status)
            async with session.ws_connect(f"/live?token={TOKEN}") as follower:
                write(sink, 0.5)
                assert (await next_face(follower)).weights[0] == pytest.approx(0.5, abs=1e-4)
            return statuses

        assert talk(sink, conversation) == [401, 200, 200, 401]
        assert not STREAM.controls.paused


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])
def test_a_name_of_this_machine_is_answered_with_the_token(host: str) -> None:
    """A site that lets its own name point here has no token; pages of others stay refused."""
    with open_sink(f"http://{host}:0/?token={TOKEN}", STREAM) as sink:
        name = {"Host": "mymachine:8080"}
        own = {**name, "Origin": "http://mymachine:8080"}
        other = {**name, "Origin": "http://evil.example:8080"}
        rebound = {"Host": "evil.example:8080", "Origin": "http://evil.example:8080"}

        async def conversation(session: aiohttp.ClientSession) -> list[int]:
            path = f"/?token={TOKEN}"
            statuses = [(await session.get(path, headers=name)).status]
            statuses.append((await session.get("/", headers=name)).status)
            statuses.append((await session.get("/", headers=rebound)).status)
            control = f"/control?token={TOKEN}"
            for headers in (other, rebound):
                answer = await session.post(
                    "/control" if headers is rebound else control,
                    json={"pause": True},
                    headers=headers,
                )
                statuses.append(answer.status)
            for headers, query in ((other, f"?token={TOKEN}"), (rebound, "")):
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    await session.ws_connect(f"/live{query}", headers=headers)
                statuses.append(refused.value.status)
            async with session.ws_connect(f"/live?token={TOKEN}", headers=own) as follower:
                write(sink, 0.5)
                assert (await next_face(follower)).weights[0] == pytest.approx(0.5, abs=1e-4)
            return statuses

        assert talk(sink, conversation) == [200, 401, 401, 403, 401, 403, 401]
    assert not STREAM.controls.paused


def test_without_a_token_a_foreign_name_is_refused_and_told_why(sink: Sink) -> None:
    async def conversation(session: aiohttp.ClientSession) -> tuple[int, str]:
        answer = await session.get("/", headers={"Host": "mymachine:8080"})
        return answer.status, await answer.text()

    status, sentence = talk(sink, conversation)
    assert status == 403
    assert "not as mymachine:8080" in sentence
    assert "?token=" in sentence


def test_tokens_are_new_in_every_run_and_loopback_has_none() -> None:
    tokens = {Address("0.0.0.0", 8080).protected().token for _ in range(20)}
    assert len(tokens) == 20
    assert min(map(len, tokens)) >= 16
    assert Address("127.0.0.1", 8080).protected().token == ""


def test_pages_of_an_allowed_site_may_follow_and_nothing_else() -> None:
    site = "http://localhost:3000"
    with open_sink(f"http://127.0.0.1:0/?origin={site}", STREAM) as sink:

        async def conversation(session: aiohttp.ClientSession) -> list[int]:
            headers = {"Origin": site}
            async with session.ws_connect("/live", headers=headers) as follower:
                assert not follower.closed
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect("/live", headers={"Origin": "http://localhost:3001"})
            command = await session.post("/control", json={"pause": True}, headers=headers)
            page = await session.get("/", headers=headers)
            return [refused.value.status, command.status, page.status]

        assert talk(sink, conversation) == [403, 403, 403]
    assert not STREAM.controls.paused


@pytest.mark.parametrize(
    ("target", "address"),
    [
        (f"http://0.0.0.0:9/?token={TOKEN}", Address("0.0.0.0", 9, TOKEN)),
        (
            "http://:9/?origin=https://a.example/&origin=http://b:80",
            Address("127.0.0.1", 9, origins=("https://a.example", "http://b:80")),
        ),
    ],
)
def test_addresses_with_a_token_and_origins(target: str, address: Address) -> None:
    assert read_address(target) == address


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("?token=short", "16 characters or more"),
        ("?token=", "16 characters or more"),
        ("?origin=localhost:3000", "an origin must be"),
        ("?origin=http://a/b", "an origin must be"),
        ("?origin=*", "an origin must be"),
        ("?size=3", "http://HOST:PORT"),
        ("?x", "http://HOST:PORT"),
    ],
)
def test_other_queries_are_refused(query: str, sentence: str) -> None:
    with (
        pytest.raises(UsageError, match=re.escape(sentence)),
        open_sink(f"http://127.0.0.1:0/{query}", STREAM),
    ):
        pytest.fail("it opened")


# Health and metrics


def test_health_is_that_of_the_frames(monkeypatch: pytest.MonkeyPatch, sink: Sink) -> None:
    async def conversation(session: aiohttp.ClientSession) -> tuple[int, Any]:
        answer = await session.get("/health")
        return answer.status, json.loads(await answer.text())

    sink.write(np.zeros((32, 48, 4), np.uint8))
    status, content = talk(sink, conversation)
    assert (status, content["status"], content["frames"]) == (200, "ok", 1)
    monkeypatch.setattr(requests, "TIMEOUT_SECONDS", 0.01)
    time.sleep(0.05)
    status, content = talk(sink, conversation)
    assert (status, content["status"]) == (503, "no frame for 0 s")


def test_metrics_are_prometheus_text() -> None:
    figures = {"frames a second": 24.5, "latency": "p50 3 ms", 'a "b"\\': 1, "x": float("nan")}
    assert metrics_text({"viewers": 2, "frames_total": 7}, figures) == (
        "# TYPE imavatar_viewers gauge\nimavatar_viewers 2\n"
        "# TYPE imavatar_frames_total counter\nimavatar_frames_total 7\n"
        "# TYPE imavatar_figure gauge\n"
        'imavatar_figure{name="frames a second"} 24.5\n'
        'imavatar_figure{name="a \\"b\\"\\\\"} 1.0\n'
    )
