"""`osc://`, `livelink://`: the face of each frame, sent to other programs as by `imavatar-send`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.errors import UsageError
from imavatar_deploy.head_model import OPENHEAD

from ..streams.arkit_packets import PACKETS, PORTS, arkit_face
from ..streams.sending import Channel
from ..streams.udp_address import LOOPBACK, address_of, receiver_of, sending_socket
from .sink import Image, Sink, SinkFormat, Stream, never


@contextmanager
def _open(scheme: str, target: str, stream: Stream) -> Iterator[Sink]:
    receiver = receiver_of(target, scheme, PORTS[scheme])
    if stream.edition != OPENHEAD:
        codes = f"are of {stream.edition}" if stream.edition else "have no head model"
        raise UsageError(
            f"the faces of this run {codes}, and {scheme}:// carries ARKit's weights, which are "
            f"{OPENHEAD}'s codes: play an avatar of {OPENHEAD}, or pass the tracker on by "
            f"imavatar-send SOURCE --to {scheme}://{receiver}"
        )
    began = time.monotonic()
    number = 0
    with sending_socket(receiver) as opened:
        channel = Channel(opened)

        def write_face(expression: Float32[Array, "50"], pose: Float32[Array, "15"]) -> None:
            nonlocal number
            face = arkit_face(OPENHEAD, expression, pose, time.monotonic() - began, number)
            for packet in PACKETS[scheme](face):
                channel.send(packet)
            number += 1

        def report() -> str:
            line = f"{scheme}://{receiver}: {number} faces sent"
            refused = f"; {channel.refused} packets were refused, since no program listened"
            return line + (refused if channel.refused else "")

        yield Sink(
            _ignore,
            report,
            greeting=f"sending to {scheme}://{receiver}",
            write_face=write_face,
            needs_image=never,
        )


def refuse_feedback(target: str, source: str) -> None:
    """Refuse a sink that sends to the source of the same run.

    Raises:
        UsageError: `source` listens on this machine where the `--sink` argument `target` sends to.
    """
    scheme = target.partition("://")[0]
    if scheme not in PORTS or source.partition("://")[:2] != (scheme, "://"):
        return
    receiver = receiver_of(target, scheme, PORTS[scheme])
    listening = address_of(source, scheme, PORTS[scheme])
    here = {LOOPBACK, "localhost", "::1", listening.host or LOOPBACK}
    if receiver.port == listening.port and receiver.host in here:
        raise UsageError(
            f"--sink {target} would send to --source {source}, which is this run: give the sink "
            "the port of the other program"
        )


def _ignore(image: Image) -> None:
    """Ignore an image: the receiver draws its own."""


def _row(scheme: str, description: str) -> SinkFormat:
    def open_target(target: str, stream: Stream) -> AbstractContextManager[Sink]:
        return _open(scheme, target, stream)

    return SinkFormat(
        name=scheme,
        pattern=f"{scheme}://:{PORTS[scheme]}",
        description=description,
        matches=lambda target: target.partition("://")[:2] == (scheme, "://"),
        open=open_target,
        watched=True,
    )


OSC = _row("osc", "the face in the VMC protocol, for VSeeFace, Warudo, VMagicMirror and others")
LIVE_LINK = _row("livelink", "the face as Live Link Face, for Unreal")
