"""Sending a track or a live source: the packets of each face, on time."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import count, islice

from imavatar_deploy.errors import InputError
from imavatar_deploy.tracks import FlameTrack

from ..sources.source import LiveSource
from .arkit_packets import PACKETS, arkit_face
from .flame_packet import encode

POLL_SECONDS = 0.002
"""Seconds between two looks into the inbox of a live source."""


def packets(
    track: FlameTrack, edition: str, *, encoding: str, began: float, loop: bool = False
) -> Iterator[tuple[float, bytes]]:
    """(seconds since the first, packet) for every frame of a track, without end with `loop`.

    Args:
        edition: head-model edition of the codes, for the packets.
        encoding: a row of `ENCODINGS`.
        began: the sender's clock at the first frame.
    """
    for number in count() if loop else range(len(track)):
        frame = track.frame(number % len(track))
        due = number / track.fps
        packet = encode(
            edition,
            frame.expression,
            frame.pose,
            time=began + due,
            sequence=number,
            encoding=encoding,
        )
        yield due, packet


def packets_for_programs(
    track: FlameTrack, edition: str, scheme: str, *, loop: bool = False, frames: int | None = None
) -> Iterator[tuple[float, bytes]]:
    """(seconds since the first, packet) of a track for a program of others.

    Args:
        edition: head-model edition of the codes.
        scheme: a key of `PACKETS`.
        loop: begin again at the end.
        frames: number of frames; None: all, without end with `loop`.

    Raises:
        UsageError: the codes are not OpenHead's.
    """
    for number in islice(count() if loop else range(len(track)), frames):
        frame = track.frame(number % len(track))
        due = number / track.fps
        face = arkit_face(edition, frame.expression, frame.pose, due, number)
        yield from ((due, packet) for packet in PACKETS[scheme](face))


def send_live(
    source: LiveSource,
    scheme: str,
    encoding: str,
    send: Callable[[bytes], None],
    duration: float | None,
) -> None:
    """Send the faces of a live source as they come, until it ends or `duration` has passed.

    Args:
        source: the open source.
        scheme: `udp` for FLAME packets, or a key of `PACKETS`.
        encoding: of FLAME packets, a row of `ENCODINGS`.
        send: sends a packet.
        duration: seconds; None: no limit.

    Raises:
        UsageError: the source's codes cannot be sent so.
        Exception: the error that ended the source.
    """
    began = time.monotonic()
    number = 0
    while duration is None or time.monotonic() - began < duration:
        ended = source.inbox.ended.is_set()
        for observation, arrived in source.inbox.take():
            kind = observation.vocabulary
            weights = observation.weights
            pose = observation.pose
            if scheme in PACKETS:
                face = arkit_face(kind, weights, pose, max(0.0, arrived - began), number)
                for packet in PACKETS[scheme](face):
                    send(packet)
            else:
                send(encode(kind, weights, pose, time=arrived, sequence=number, encoding=encoding))
            number += 1
        if ended:
            if source.inbox.error:
                raise source.inbox.error
            return
        time.sleep(POLL_SECONDS)


class Channel:
    """A connected UDP socket that counts packets and bytes."""

    def __init__(self, opened: socket.socket) -> None:
        self._socket = opened
        self.packets = 0
        self.bytes = 0
        self.refused = 0
        """Packets that were refused because no program listened, as far as this machine knows."""

    def send(self, packet: bytes) -> None:
        """Send one packet.

        Raises:
            InputError: the network is gone.
        """
        try:
            self._send(packet)
        except OSError as error:
            raise InputError(
                f"a packet could not be sent ({error.strerror or error}); check the network"
            ) from error
        self.packets += 1
        self.bytes += len(packet)

    def _send(self, packet: bytes) -> None:
        try:
            self._socket.send(packet)
        except ConnectionRefusedError:  # of an earlier packet; this one has not been sent yet
            self.refused += 1
            self._socket.send(packet)


def send_on_time(
    arriving: Iterable[tuple[float, bytes]],
    send: Callable[[bytes], None],
    began: float,
    *,
    now: Callable[[], float] = time.monotonic,
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Send every packet its number of seconds after `began`, or at once where that time is past.

    Args:
        arriving: (seconds, packet).
        send: sends a packet.
        began: start, on the clock `now`.
        now, wait: replace the machine's clock in tests; seconds.
    """
    for due, packet in arriving:
        early = began + due - now()
        if early > 0:
            wait(early)
        send(packet)
