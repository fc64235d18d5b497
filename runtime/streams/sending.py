"""Sending a track: a packet for each frame, on time."""

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
