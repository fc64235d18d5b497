"""Sources: where motion comes from. One file each; `SOURCES` is the table of all.

    from imavatar_deploy.runtime.sources import open_source

    with open_source("talk") as source:
        for frame in source.frames:
            image = player.render(frame.expression, frame.pose)

A tracker of your own needs no row here: it fills an `imavatar_deploy.runtime.Inbox`, which
`run_live` and `listen` take. `register_source` gives it a name, for this process.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from imavatar_deploy.errors import UsageError, unknown_name

from . import flame_udp, ifacialmocap, live_link, open_see_face, track, video, vmc, webcam
from .source import LiveSource, Protocol, Selection, Source, SourceFormat
from .udp import datagram_format

__all__ = [
    "PROTOCOLS",
    "SOURCES",
    "LiveSource",
    "Selection",
    "Source",
    "SourceFormat",
    "open_source",
    "register_source",
]

PROTOCOLS: tuple[Protocol, ...] = (
    flame_udp.PROTOCOL,
    live_link.PROTOCOL,
    vmc.PROTOCOL,
    open_see_face.PROTOCOL,
    ifacialmocap.PROTOCOL,
)
"""The table of protocols over UDP."""

SOURCES: list[SourceFormat] = [
    webcam.FORMAT,
    video.FORMAT,
    track.FORMAT,
    *map(datagram_format, PROTOCOLS),
]
"""The table of `--source`; the first row that matches a target opens it."""


def register_source(row: SourceFormat | Protocol) -> None:
    """Add a source of one's own, for `open_source`, `run_live` and `listen` in this process.

    Args:
        row: a protocol over UDP, or a source: its name, and the functions that recognise and open
            a target. `open` is a context manager of a `Source` (frames in order) or a `LiveSource`
            (an `Inbox` that a thread fills). It comes before the rows that are there.

    Raises:
        UsageError: there is a source of this name already, or `row` is of another type.

    Example:
        >>> @contextmanager
        ... def open_nod(target, selection):
        ...     frames = [FlameFrame(np.zeros(50), nod(t / 30)) for t in range(90)]
        ...     yield Source(frames, fps=30, edition="openhead", count=90)
        >>> is_nod = lambda target: target == "nod"
        >>> register_source(SourceFormat("nod", "nod", "nods for 3 s", is_nod, open_nod))
    """
    if isinstance(row, Protocol):
        row = datagram_format(row)
    if not isinstance(row, SourceFormat):
        raise UsageError(f"a source must be a SourceFormat or a Protocol, got {type(row).__name__}")
    if any(row.name == known.name for known in SOURCES):
        raise UsageError(f"there is a source {row.name!r} already; choose another name")
    SOURCES.insert(0, row)


def open_source(
    target: str | Path, selection: Selection | None = None
) -> AbstractContextManager[Source | LiveSource]:
    """Open a `--source` argument; use it in a `with` block.

    Args:
        target: a track's file or folder, the word `talk`, or an address such as `udp://:9000`;
            `SOURCES` has all patterns.
        selection: which frames of a recording, how many a second, and whether to loop.

    Returns:
        A context manager of a `Source` (a recording) or a `LiveSource` (a tracker).

    Raises:
        UsageError: no such source, or a target that is neither a string nor a path.
        InputError: it cannot be read.
        MissingDependencyError: it needs a package or device that is not there.

    Example:
        >>> with open_source("talk", Selection(frames=slice(0, 50))) as source:
        ...     poses = [frame.pose for frame in source.frames]  # 50 of [15] radians
    """
    if not isinstance(target, str | Path):
        raise UsageError(f"a source must be a str or a Path, got {type(target).__name__}")
    target = str(target)
    for row in SOURCES:
        if row.matches(target):
            return row.open(target, selection or Selection())
    raise unknown_name("source", target, [row.pattern for row in SOURCES])
