"""Protocol: what one kind of datagram is, as a row that the receiver of all of them reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .observation import Observation

Parser = Callable[[bytes], Sequence[Observation]]
"""One packet -> the observations that it completes, none where there is no face in it (or not yet all of it).

Raises InputError for a packet that is malformed; nothing else, whatever the bytes.
"""


@dataclass(frozen=True)
class Protocol:
    """One protocol over UDP, owned by the file that parses it."""

    scheme: str
    """`livelink`, as in `livelink://:11111`."""
    description: str
    port: int
    """Where its senders send to when nobody says otherwise."""
    most_bytes: int
    """No packet is longer; one that is, is malformed."""
    fps: float
    """Observations a second that its senders usually send."""
    vocabulary: str | None
    """What its observations speak; None where each packet says."""
    parser: Callable[[], Parser]
    """Makes a parser for one sender: some gather an observation from several packets."""
    hello: bytes | None = None
    """What the tracker must be sent before it sends anything; None where it sends by itself."""
