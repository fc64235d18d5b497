"""The page, requested by the standard library's client over a real loopback connection."""

from __future__ import annotations

import asyncio
import http.client
import json
import math
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imavatar_deploy.errors import UsageError
from imavatar_deploy.runtime.sinks import Sink, Stream, open_sink
from imavatar_deploy.runtime.sinks.http.address import Address, read_address
from imavatar_deploy.runtime.sinks.http.requests import PAGES
from imavatar_deploy.runtime.sinks.http.screen import Screen
from imavatar_deploy.runtime.sinks.http.server import MOST_VIEWERS
from imavatar_deploy.runtime.sinks.sink import Controls

JSON = {"Content-Type": "application/json"}
Ask = Callable[..., tuple[int, dict[str, str], bytes]]


def frame(shade: int) -> np.ndarray:
    """A grey square on a transparent background."""
    image = np.zeros((32, 48, 4), dtype=np.uint8)
    image[8:24, 8:40] = (shade, shade, shade, 255)
    return image


def decoded(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_UNCHANGED)


def port_of(sink: Sink) -> int:
    match = re.search(r":(\d+) ", sink.greeting)
    assert match
    return int(match[1])


@pytest.fixture
def stream() -> Stream:
    return Stream(
        48, 32, 25.0, Controls(), lambda: {"frames a second": 24.9, "latency": math.inf, "drawn": 3}
    )


@pytest.fixture
def sink(stream: Stream) -> Iterator[Sink]:
    with open_sink("http://127.0.0.1:0", stream) as sink:
        yield sink


@pytest.fixture
def ask(sink: Sink) -> Ask:
    """Sends a request to the page and returns status, headers and body."""

    def request(
        method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port_of(sink), timeout=10)
        connection.request(
            method, path, body, {name.replace("_", "-"): value for name, value in headers.items()}
        )
        answer = connection.getresponse()
        got = answer.status, dict(answer.getheaders()), answer.read()
        connection.close()
        return got

    return request


def watch(port: int, stack: ExitStack) -> http.client.HTTPResponse:
    """Open the stream."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    stack.callback(connection.close)
    connection.request("GET", "/stream.mjpg")
    answer = connection.getresponse()
    stack.callback(answer.close)
    return answer


def next_part(answer: http.client.HTTPResponse) -> np.ndarray:
    """The image in the next part of the stream."""
    while not (line := answer.readline()).lower().startswith(b"content-length"):
        assert line, "the stream ended"
    length = int(line.split(b":")[1])
    assert answer.readline() == b"\r\n"
    return decoded(answer.read(length))


def test_the_page_needs_nothing_from_elsewhere(ask: Ask) -> None:
    status, headers, body = ask("GET", "/")
    page = body.decode()
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "://" not in page
    for path in ("/stream.mjpg", "/stats.json", "/control"):
        assert f'"{path}' in page


def test_still_pictures(sink: Sink, ask: Ask) -> None:
    assert ask("GET", "/frame.png")[0] == 503, "there is none yet"
    sink.write(frame(90))
    status, headers, body = ask("GET", "/frame.jpg")
    assert (status, headers["Content-Type"]) == (200, "image/jpeg")
    np.testing.assert_allclose(decoded(body)[16, 20].astype(int), 90, atol=4)
    np.testing.assert_allclose(decoded(body)[1, 1].astype(int), 255, atol=4)
    np.testing.assert_array_equal(decoded(ask("GET", "/frame.png")[2]), frame(90))


def test_the_stream_shows_frame_after_frame(sink: Sink) -> None:
    with ExitStack() as stack:
        sink.write(frame(20))
        answer = watch(port_of(sink), stack)
        assert answer.getheader("Content-Type") == "multipart/x-mixed-replace; boundary=frame"
        for shade in (20, 120, 220):
            sink.write(frame(shade))
            while abs(int(next_part(answer)[16, 20, 0]) - shade) > 4:
                """Skip an earlier frame."""


def test_figures_are_json_whatever_they_are(ask: Ask, stream: Stream) -> None:
    stream.controls.paused = True
    status, _, body = ask("GET", "/stats.json")
    assert status == 200
    content = json.loads(body, parse_constant=pytest.fail)
    assert content == {
        "paused": True,
        "watching": 0,
        "figures": {"frames a second": 24.9, "latency": None, "drawn": 3},
    }


def test_commands_are_applied(ask: Ask, stream: Stream) -> None:
    status, _, _ = ask("POST", "/control", b'{"orbit": [0.5, 0.25], "pause": true}', **JSON)
    assert status == 200
    assert stream.controls == Controls(paused=True, yaw=0.5, pitch=0.25)


@pytest.mark.parametrize(
    ("status", "method", "path", "headers"),
    [
        (403, "GET", "/", {"Host": "evil.example:8080"}),
        (403, "GET", "/stats.json", {"Host": ""}),
        (403, "GET", "/stats.json", {"Host": "[::1"}),
        (403, "GET", "/stats.json", {"Host": "192.168.0.9:8080"}),
        (403, "POST", "/control", {**JSON, "Origin": "http://evil.example"}),
        (403, "POST", "/control", {**JSON, "Origin": "null"}),
        (415, "POST", "/control", {"Content-Type": "text/plain"}),
        (415, "POST", "/control", {}),
        (413, "POST", "/control", {**JSON, "Content-Length": "1025"}),
        (413, "POST", "/control", {**JSON, "Content-Length": "9" * 15}),
        (400, "POST", "/control", {**JSON, "Content-Length": "9" * 30}),
        (400, "POST", "/control", {**JSON, "Content-Length": "-1"}),
        (411, "POST", "/control", {**JSON, "Transfer-Encoding": "chunked"}),
        (404, "POST", "/", JSON),
        (404, "GET", "/../secret", {}),
        (403, "HEAD", "/", {"Host": "evil.example:8080"}),
        (403, "HEAD", "/stats.json", {"Origin": "http://evil.example"}),
        (404, "HEAD", "/secret", {}),
        (405, "GET", "/control", {}),
        (405, "HEAD", "/control", {}),
        (501, "OPTIONS", "/control", {"Origin": "http://evil.example"}),
        (501, "PUT", "/control", JSON),
    ],
)
def test_what_is_refused_does_nothing(
    status: int, method: str, path: str, headers: dict[str, str], ask: Ask, stream: Stream
) -> None:
    body = b'{"pause": true}' if method == "POST" else None
    if "Transfer-Encoding" in headers:
        body = b'f\r\n{"pause": true}\r\n0\r\n\r\n'
    got, answered, _ = ask(method, path, body, **headers)
    assert got == status
    assert "Access-Control-Allow-Origin" not in answered
    assert stream.controls == Controls()


@pytest.mark.parametrize(
    "path",
    ["/", "/viewer.js", "/live.json", "/frame.jpg", "/frame.png", "/stats.json", "/health"],
)
def test_head_is_get_without_a_body(path: str, sink: Sink, ask: Ask) -> None:
    sink.write(frame(9))
    expected, headers, body = ask("GET", path)
    assert expected == 200
    assert body
    status, of_head, nothing = ask("HEAD", path)
    assert (status, nothing) == (200, b"")
    assert of_head["Content-Type"] == headers["Content-Type"]
    lengths = int(of_head["Content-Length"]), int(headers["Content-Length"])
    assert abs(lengths[0] - lengths[1]) <= 4, "up to the digits of a number of seconds"


def test_head_of_metrics_the_stream_and_the_motion_ends_at_once(ask: Ask) -> None:
    """Without a single frame: a GET of the stream would wait for one."""
    assert ask("HEAD", "/metrics")[0] == 200
    status, headers, body = ask("HEAD", "/stream.mjpg")
    assert (status, body) == (200, b"")
    assert headers["Content-Type"] == "multipart/x-mixed-replace; boundary=frame"
    handshake = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    assert ask("HEAD", "/live", **handshake)[0] == 404, "this stream has no head model"


def test_what_is_served_is_listed(ask: Ask) -> None:
    status, _, body = ask("GET", "/nothing")
    assert status == 404
    text = body.decode()
    for path in (*PAGES, "/control (POST)"):
        assert path in text
    status, headers, body = ask("GET", "/control")
    assert (status, headers["Allow"]) == (405, "POST")
    assert body == b"commands go to /control as JSON in a POST\n"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:9000", "LOCALHOST", "[::1]:8080"])
def test_its_own_names_are_answered(host: str, ask: Ask) -> None:
    assert ask("GET", "/stats.json", Host=host, Origin=f"http://{host}")[0] == 200


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=1024))
def test_any_body_is_answered(ask: Ask, body: bytes) -> None:
    assert ask("POST", "/control", body, **JSON)[0] in {200, 400}


def test_a_frame_is_encoded_once_for_all_viewers_and_never_without_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encode = cv2.imencode
    encoded = []
    monkeypatch.setattr(cv2, "imencode", lambda *args: encoded.append(1) or encode(*args))

    async def watch_together() -> None:
        screen = Screen(Stream(48, 32, 25.0))
        screen.attach(asyncio.get_running_loop())
        for shade in range(10):
            screen.show(frame(shade))
        assert not encoded
        frames: list[Any] = await asyncio.gather(*(screen.next_jpeg(0, 10) for _ in range(8)))
        assert len(encoded) == 1
        assert {number for number, _ in frames} == {10}
        assert await screen.next_jpeg(10, 0.0) is None, "there is nothing newer"

    asyncio.run(asyncio.wait_for(watch_together(), 30))


def test_a_viewer_that_does_not_read_delays_no_other(sink: Sink) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (32, 48, 4), dtype=np.uint8)
    with ExitStack() as stack:
        sink.write(noise)
        watch(port_of(sink), stack)
        reader = watch(port_of(sink), stack)
        for _ in range(400):
            sink.write(noise)
        sink.write(frame(200))
        while abs(int(next_part(reader)[16, 20, 0]) - 200) > 4:
            """Skip an earlier frame."""


def test_viewers_are_bounded_and_a_place_is_given_back(sink: Sink, ask: Ask) -> None:
    with ExitStack() as stack:
        sink.write(frame(9))
        answers = [watch(port_of(sink), stack) for _ in range(MOST_VIEWERS)]
        for answer in answers:
            next_part(answer)
        assert json.loads(ask("GET", "/stats.json")[2])["watching"] == MOST_VIEWERS
        assert ask("GET", "/stream.mjpg")[0] == 503
        assert ask("GET", "/frame.jpg")[0] == 200
    while json.loads(ask("GET", "/stats.json")[2])["watching"] == MOST_VIEWERS:
        sink.write(frame(9))  # who is gone is noticed when a frame is sent
    assert f"watched by {MOST_VIEWERS}" in sink.report()


def test_it_ends_while_people_watch_and_frees_its_port(stream: Stream) -> None:
    before = set(threading.enumerate())
    with ExitStack() as stack, open_sink("http://127.0.0.1:0", stream) as sink:
        port = port_of(sink)
        sink.write(frame(9))
        next_part(watch(port, stack))
        silent = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
        silent.send(b"GET /stre")
    assert set(threading.enumerate()) == before
    with open_sink(f"http://127.0.0.1:{port}", stream) as sink:
        assert port_of(sink) == port


def test_a_taken_port_is_told(sink: Sink, stream: Stream) -> None:
    target = f"http://127.0.0.1:{port_of(sink)}"
    with (
        pytest.raises(UsageError, match=rf"{target} cannot be listened on .*choose another"),
        open_sink(target, stream),
    ):
        pytest.fail("it opened")


@pytest.mark.parametrize(
    ("target", "address"),
    [
        ("http://127.0.0.1:8080", Address("127.0.0.1", 8080)),
        ("HTTP://Localhost:80/", Address("localhost", 80)),
        ("http://:8080", Address("127.0.0.1", 8080)),
        ("http://0.0.0.0:9", Address("0.0.0.0", 9)),
        ("http://[::1]:8080", Address("::1", 8080)),
    ],
)
def test_addresses(target: str, address: Address) -> None:
    assert read_address(target) == address
    assert read_address(str(address)) == address


@pytest.mark.parametrize(
    "target",
    [
        "http://",
        "http://127.0.0.1",
        "http://a:b",
        "http://a:70000",
        "http://a:1/x",
        "http://u@a:1",
        "http://[::1:80",
    ],
)
def test_other_addresses_are_refused(target: str, stream: Stream) -> None:
    with pytest.raises(UsageError, match="http://HOST:PORT"), open_sink(target, stream):
        pytest.fail("it opened")


@pytest.mark.parametrize(
    ("host", "authority", "meant"),
    [
        ("0.0.0.0", "192.168.0.9:8080", True),
        ("0.0.0.0", "evil.example", False),
        ("::", "[fe80::1]:8080", True),
        ("studio.lan", "Studio.lan:8080", True),
        ("studio.lan", "192.168.0.9:8080", False),
        ("127.0.0.1", "127.0.0.1.evil.example", False),
        ("127.0.0.1", "studio.lan:8080", False),
    ],
)
def test_a_foreign_name_for_this_machine_is_refused(host: str, authority: str, meant: bool) -> None:
    assert Address(host, 8080).is_meant_by(authority) is meant


def test_an_open_address_is_in_the_greeting(stream: Stream) -> None:
    with open_sink("http://0.0.0.0:0", stream) as sink:
        assert "every host that reaches this address can watch and control it" in sink.greeting
