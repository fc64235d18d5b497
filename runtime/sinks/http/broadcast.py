"""Broadcast: the motion of a run as packets, for followers that read at different speeds."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from itertools import count

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.camera import Camera

from ...streams import EDITION_CODES, encode
from ...streams.camera_message import encode_camera

QUEUE_PACKETS = 64
"""Packets that wait for one follower, a second or two of motion; then the oldest are dropped."""

IDLE_SECONDS = 1.0
"""Seconds without a face, after which a packet without a face is sent."""

CAMERA_SECONDS = 1.0
"""Seconds after which a camera that stays is sent again, to followers that have lost it."""

Messages = tuple[bytes | str, ...]
"""A packet, after the message of its camera where that is sent."""


class Follower:
    """The packets that wait for one follower; used in the event loop alone."""

    def __init__(self) -> None:
        self._packets: deque[Messages] = deque()
        self._changed = asyncio.Event()
        self.dropped = 0

    def put(self, packet: Messages) -> None:
        """Add a packet and its camera; where too many wait, drop the oldest."""
        if len(self._packets) == QUEUE_PACKETS:
            self._packets.popleft()
            self.dropped += 1
        self._packets.append(packet)
        self._changed.set()

    async def next(self) -> Messages:
        """Wait for a packet and return it, and its camera."""
        while not self._packets:
            self._changed.clear()
            await self._changed.wait()
        return self._packets.popleft()


class Broadcast:
    """Encodes the face and the camera of each frame and passes them to every follower.

    `write_face` and `write_camera` may be called from every thread, one at a time, all else from
    the event loop of `attach`. They do not wait for followers: one that is slow loses its own
    oldest packets.

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
        self._newest_camera = ""
        self._camera = ""
        """Message of the camera of the next frames; empty where there has been none."""
        self._sent_camera = ""
        self._camera_sent = 0.0
        self._is_idle = True
        self._loop: asyncio.AbstractEventLoop | None = None

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Serve followers in an event loop."""
        self._loop = loop

    @property
    def dropped(self) -> int:
        """Packets that slow followers have lost."""
        return self._dropped + sum(follower.dropped for follower in self.followers)

    def write_camera(self, camera: Camera | None) -> None:
        """Set the camera of the next frames; None: they have none."""
        if camera is not None or self._camera:
            self._camera = encode_camera(camera)

    def write_face(self, expression: Float32[Array, "50"], pose: Float32[Array, "15"]) -> None:
        """Pass on the face of a frame; it is timed by its call."""
        if self.edition is None or self._loop is None or self._loop.is_closed():
            return
        now = time.monotonic()
        packet = encode(
            self.edition,
            expression,
            pose,
            time=now,
            sequence=next(self._numbers),
            encoding="int16",
        )
        self._loop.call_soon_threadsafe(self._deliver, packet, self._due_camera(now))

    def _due_camera(self, now: float) -> str:
        """The message of the camera where it has changed or is sent again, else an empty string."""
        is_due = self._camera != self._sent_camera or now - self._camera_sent >= CAMERA_SECONDS
        if not (self._camera and is_due):
            return ""
        self._sent_camera, self._camera_sent = self._camera, now
        return self._camera

    def _deliver(self, packet: bytes, camera: str) -> None:
        self._newest = packet
        self._newest_camera = camera or self._newest_camera
        self._put((camera, packet) if camera else (packet,))

    def _put(self, packet: Messages) -> None:
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
                packet = encode(self.edition, [], [], time=now, sequence=next(self._numbers))
                self._put((packet,))

    def add(self) -> Follower:
        """Add a follower, which gets the newest packet and its camera at once."""
        follower = Follower()
        if self._newest is not None:
            camera = (self._newest_camera,) if self._newest_camera else ()
            follower.put((*camera, self._newest))
        self.followers.add(follower)
        return follower

    def remove(self, follower: Follower) -> None:
        """Remove a follower."""
        self.followers.discard(follower)
        self._dropped += follower.dropped
