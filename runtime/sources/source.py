"""Source: where the motion of a run comes from, and what one row of the table of sources says."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from imavatar_deploy.tracks import FlameFrame

from .observation import Inbox


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
