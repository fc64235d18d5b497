"""Source: where the motion of a run comes from; rows of the tables of sources and of protocols."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from imavatar_deploy.tracks import FlameFrame

from .observation import Inbox, Observation


@dataclass(frozen=True)
class Selection:
    """The part of a motion to play, and its rate."""

    frames: slice = field(default_factory=lambda: slice(None))
    fps: float | None = None
    """Frames a second; None: the source's own rate."""
    loop: bool = False
    """Begin a recording again at its end."""
    recorded_fps: float | None = None
    """Frames a second at which a recording was made, in place of those of its file; None: those."""


@dataclass(frozen=True)
class Source:
    """An open recording."""

    frames: Iterable[FlameFrame]
    fps: float
    edition: str | None
    """Head-model edition of the codes; None where the source does not state it."""
    count: int | None
    """Number of frames; None where it is unknown."""
    notes: tuple[str, ...] = ()
    """Losses and assumptions of reading it, a sentence each, for the user."""


@dataclass(frozen=True)
class LiveSource:
    """An open stream that cannot be paused: a thread of its own puts observations into `inbox`."""

    inbox: Inbox
    fps: float
    """Observations a second, as far as is known beforehand."""
    vocabulary: str | None
    """Vocabulary of the observations (see `Observation`); None where each packet states its own."""
    listening: str
    """Where it listens and how to send to it, for the user: `UDP 127.0.0.1:11111`."""
    local_clock: bool = False
    """Whether the times of its observations are `time.monotonic()` of this machine, as a camera's
    are. Latencies then include the time from the image to the observation."""
    face: Callable[[], str] | None = None
    """Returns what is known of the person's face so far, for the user: `calibrated`. None where the
    source does not learn it."""


@dataclass(frozen=True)
class SourceFormat:
    """One kind of source, owned by the file that reads it."""

    name: str
    pattern: str
    """The form of its `--source` argument, for example `talk.json`."""
    description: str
    matches: Callable[[str], bool]
    """Whether a `--source` argument means this kind."""
    open: Callable[[str, Selection], AbstractContextManager[Source | LiveSource]]


# Protocols over UDP

Parser = Callable[[bytes], Sequence[Observation]]
"""One packet -> the observations that it completes; none without a face (or a complete one).

Raises InputError for a malformed packet, and no other error whatever the bytes.
"""


@dataclass(frozen=True)
class Protocol:
    """One protocol over UDP, owned by the file that parses it."""

    scheme: str
    """`livelink`, as in `livelink://:11111`."""
    description: str
    port: int
    """The port that its senders use by default."""
    most_bytes: int
    """Size of the longest packet; a longer one is malformed."""
    fps: float
    """Usual rate of its senders, observations a second."""
    vocabulary: str | None
    """Vocabulary of its observations; None where each packet states its own."""
    parser: Callable[[], Parser]
    """Makes a parser for one sender: some protocols spread an observation over several packets."""
    hello: bytes | None = None
    """The greeting that the tracker waits for before it sends; None where it sends by itself."""
    partial: bool = False
    """Whether a packet may hold a part of a face. One that completes none then says nothing about
    the face, and is not counted as `empty`."""
