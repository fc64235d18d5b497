"""Source: where the motion of a run comes from, and what one row of the table of sources says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from imavatar_deploy.tracks import FlameFrame

from .observation import Inbox, Observation


@dataclass(frozen=True)
class Selection:
    """Which part of a motion is asked for, and how often a second."""

    frames: slice = field(default_factory=lambda: slice(None))
    fps: float | None = None
    """None: as the source comes."""
    loop: bool = False
    """Begin a recording again when it is over."""


@dataclass(frozen=True)
class Source:
    """An open source."""

    frames: Iterable[FlameFrame]
    fps: float
    edition: str | None
    """Head-model edition of the codes; None where the source does not say."""
    count: int | None
    """How many frames there will be; None where nobody knows."""
    notes: tuple[str, ...] = ()
    """What reading it lost or had to assume, a sentence each, for the user."""


@dataclass(frozen=True)
class LiveSource:
    """An open source that nobody can hold up: a thread of its own puts what it hears into `inbox`."""

    inbox: Inbox
    fps: float
    """Observations a second, as far as is known beforehand."""
    vocabulary: str | None
    """What the observations will speak (see `Observation`); None where each packet says."""
    listening: str
    """Where it listens and how to send to it, for the user: `UDP 127.0.0.1:11111`."""


@dataclass(frozen=True)
class SourceFormat:
    """One kind of source, owned by the file that reads it."""

    name: str
    pattern: str
    """What the user types, for example `talk.json`."""
    description: str
    matches: Callable[[str], bool]
    """Whether a `--source` argument means this kind."""
    open: Callable[[str, Selection], AbstractContextManager[Source | LiveSource]]


# Protocol: what one kind of datagram is, as a row that the receiver of all of them reads.


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
