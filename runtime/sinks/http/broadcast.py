"""Broadcast: the motion of a run as packets, for followers that read at different speeds."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from itertools import count

from imavatar_deploy.arrays import Array, Float32

from ...streams import EDITION_CODES, encode

QUEUE_PACKETS = 64
"""Packets that wait for one follower, a second or two of motion; then the oldest are dropped."""

IDLE_SECONDS = 1.0
"""Seconds without a face, after which a packet without a face is sent."""


class Follower:
    """The packets that wait for one follower; used in the event loop alone."""

    def __init__(self) -> None:
        self._packets: deque[bytes] = deque()
        self._changed = asyncio.Event()
        self.dropped = 0

    def put(self, packet: bytes) -> None:
        """Add a packet; where too many wait, drop the oldest."""
        if len(self._packets) == QUEUE_PACKETS:
            self._packets.popleft()
            self.dropped += 1
        self._packets.append(packet)
        self._changed.set()

    async def next(self) -> bytes:
        """Wait for a packet and return it."""
        while not self._packets:
            self._changed.clear()
            await self._changed.wait()
        return self._packets.popleft()


class Broadcast:
    """Encodes the face of each frame and passes it to every follower.

    `write_face` may be called from every thread, all else from the event loop of `attach`. It does
    not wait for followers: one that is slow loses its own oldest packets.

    Args:
        edition: head model of the faces; None, or one without a code in packets: there are none.
    """

    def __init__(self, edition: str | None) -> None:
        self.edition = edition if edition in EDITION_CODES else None
        self.followers: set[Follower] = set()
        self.sent = 0
        """Packets that all followers together were sent."""
        self._dropped = 0
        self._numbers = count()
        self._newest: bytes | None = None
        self._is_idle = True
        self._loop: asyncio.AbstractEventLoop | None = None

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Serve followers in an event loop."""
        self._loop = loop

    @property
    def dropped(self) -> int:
        """Packets that slow followers have lost."""
        return self._dropped + sum(follower.dropped for follower in self.followers)

    def write_face(self, expression: Float32[Array, "50"], pose: Float32[Array, "15"]) -> None:
        """Pass on the face of a frame; it is timed by its call."""
        if self.edition is None or self._loop is None or self._loop.is_closed():
            return
        packet = encode(
            self.edition,
            expression,
            pose,
            time=time.monotonic(),
            sequence=next(self._numbers),
            encoding="int16",
        )
        self._loop.call_soon_threadsafe(self._deliver, packet)

    def _deliver(self, packet: bytes) -> None:
        self._newest = packet
        self._put(packet)

    def _put(self, packet: bytes) -> None:
        self._is_idle = False
        for follower in self.followers:
            follower.put(packet)

    async def keep_alive(self) -> None:
        """While there is no face, state every second that the run goes on; never returns."""
        while True:
            self._is_idle = True
            await asyncio.sleep(IDLE_SECONDS)
            if self._is_idle and self.edition is not None:
                now = time.monotonic()
                self._put(encode(self.edition, [], [], time=now, sequence=next(self._numbers)))

    def add(self) -> Follower:
        """Add a follower, which gets the newest packet at once."""
        follower = Follower()
        if self._newest is not None:
            follower.put(self._newest)
        self.followers.add(follower)
        return follower

    def remove(self, follower: Follower) -> None:
        """Remove a follower."""
        self.followers.discard(follower)
        self._dropped += follower.dropped
