"""Third-party senders over the loopback, into the sources of `imavatar-run`."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from math import radians
from time import monotonic, sleep

import numpy as np
import pytest
from pylivelinkface import FaceBlendShape, PyLiveLinkFace
from pythonosc.udp_client import SimpleUDPClient

from imavatar_deploy.retarget.arkit import ARKIT_NAMES
from imavatar_deploy.runtime.sources import LiveSource, open_source
from imavatar_deploy.runtime.sources.observation import Observation

from .situations import SAMPLES, TURNED, VMC_FRAME, assert_head

DEADLINE = 10.0
"""Seconds; a packet takes some milliseconds."""


def received(target: str, send: Callable[[int], None]) -> tuple[Observation, LiveSource]:
    """The first observation of a source after a packet to its port."""
    with open_source(target) as source:
        assert isinstance(source, LiveSource)
        port = re.match(r"UDP 127\.0\.0\.1:(\d+)", source.listening)
        assert port, source.listening
        send(int(port[1]))
        end = monotonic() + DEADLINE
        while not (arrivals := source.inbox.take()) and monotonic() < end:
            sleep(0.001)
    assert source.inbox.error is None
    return arrivals[0].observation, source


def send_bytes(port: int, packet: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(packet, ("127.0.0.1", port))


def test_pylivelinkface() -> None:
    face = PyLiveLinkFace(name="other", fps=60)
    face.set_blendshape(FaceBlendShape.JawOpen, 0.5, no_filter=True)
    face.set_blendshape(FaceBlendShape.HeadYaw, radians(-30), no_filter=True)
    observation, source = received("livelink://:0", lambda port: send_bytes(port, face.encode()))
    assert_head(observation, TURNED)
    assert {
        name for name, value in zip(ARKIT_NAMES, observation.weights, strict=True) if value
    } == {"jawOpen"}
    assert (source.fps, source.vocabulary) == (60.0, "arkit52")


def test_python_osc() -> None:
    def send(port: int) -> None:
        with SimpleUDPClient("127.0.0.1", port) as sender:
            for address, *arguments in VMC_FRAME:
                sender.send_message(str(address), arguments)

    observation, _ = received("osc://127.0.0.1:0", send)
    assert_head(observation, TURNED)
    np.testing.assert_allclose(observation.weights[ARKIT_NAMES.index("browInnerUp")], 0.25)
    assert observation.time == 12.5


@pytest.mark.parametrize("scheme", ["livelink", "openseeface", "osc"])
def test_a_packet_of_each(scheme: str) -> None:
    observation, source = received(
        f"{scheme}://:0", lambda port: send_bytes(port, SAMPLES[scheme]())
    )
    assert observation.vocabulary == source.vocabulary
