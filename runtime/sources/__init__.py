"""Sources of motion: trackers over UDP, a webcam, recordings; a file and a row of a table each."""

from __future__ import annotations

from contextlib import AbstractContextManager

from imavatar_deploy.errors import unknown_name

from . import flame_udp, ifacialmocap, live_link, open_see_face, track, vmc, webcam
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
]

PROTOCOLS: tuple[Protocol, ...] = (
    flame_udp.PROTOCOL,
    live_link.PROTOCOL,
    vmc.PROTOCOL,
    open_see_face.PROTOCOL,
    ifacialmocap.PROTOCOL,
)
"""The table of protocols over UDP."""

SOURCES: tuple[SourceFormat, ...] = (webcam.FORMAT, track.FORMAT, *map(datagram_format, PROTOCOLS))
"""The table of `--source`."""


def open_source(
    target: str, selection: Selection | None = None
) -> AbstractContextManager[Source | LiveSource]:
    """Open a `--source` argument; use it in a `with` block.

    Raises:
        UsageError: no such source.
        InputError: it cannot be read.
    """
    for row in SOURCES:
        if row.matches(target):
            return row.open(target, selection or Selection())
    raise unknown_name("source", target, [row.pattern for row in SOURCES])
