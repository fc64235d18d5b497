"""Sending: a track as packets, each at its moment."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import count

from imavatar_deploy.errors import InputError
from imavatar_deploy.tracks import FlameTrack

from .flame_packet import encode


def packets(
    track: FlameTrack, edition: str, *, encoding: str, began: float, loop: bool = False
) -> Iterator[tuple[float, bytes]]:
    """(seconds since the first, packet) for every frame of a track, over and over with `loop`.

    Args:
        edition: what the packets say that the codes are of.
        began: the sender's clock at the first frame.
    """
    for number in count() if loop else range(len(track)):
        frame, due = track.frame(number % len(track)), number / track.fps
        packet = encode(
            edition,
            frame.expression,
            frame.pose,
            time=began + due,
            sequence=number,
            encoding=encoding,
        )
        yield due, packet


class Channel:
    """A connected UDP socket that counts."""

    def __init__(self, opened: socket.socket) -> None:
        self._socket = opened
        self.packets, self.bytes = 0, 0
        self.unheard = 0
        """Packets of which this machine knows that nobody listened."""

    def send(self, packet: bytes) -> None:
        """Send one packet.

        Raises:
            InputError: the network is gone.
        """
        try:
            self._send(packet)
        except OSError as error:
            raise InputError(
                f"a packet could not be sent ({error.strerror or error}): is the network there?"
            ) from error
        self.packets += 1
        self.bytes += len(packet)

    def _send(self, packet: bytes) -> None:
        try:
            self._socket.send(packet)
        except ConnectionRefusedError:  # of an earlier packet; this one has not been sent yet
            self.unheard += 1
            self._socket.send(packet)


def send_on_time(
    arriving: Iterable[tuple[float, bytes]],
    send: Callable[[bytes], None],
    began: float,
    *,
    now: Callable[[], float] = time.monotonic,
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Send every packet its number of seconds after `began`, or at once where that is past."""
    for due, packet in arriving:
        early = began + due - now()
        if early > 0:
            wait(early)
        send(packet)
