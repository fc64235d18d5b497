"""TrackFormat: what one row of the table of track formats says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from imavatar_deploy.tracks.track import FlameTrack


class ForeignContentError(Exception):
    """Raised by a reader for a file which is of some other format; the table then asks its next row."""


@dataclass(frozen=True)
class TrackFormat:
    """One file format for motion, owned by the file that reads and writes it."""

    name: str
    description: str
    suffixes: tuple[str, ...]
    """Lower case, with the dot. Two formats may share one: their readers tell the contents apart."""
    read: Callable[[Path], FlameTrack]
    """Reads a file, or a folder where `folders` says so.

    Raises InputError for a broken one and ForeignContentError for one of another format.
    """
    write: Callable[[FlameTrack, Path], None] | None = None
    """Writes to the very path it is given (`write_track` makes that atomic); None where nobody writes the format."""
    unread: Callable[[Path], set[str]] | None = None
    """Names of what a file or folder holds and a track does not; None where the format has no such
    function.

    Raises ForeignContentError for one of another format.
    """
    folders: tuple[str, ...] | None = None
    """None where it reads no folder; otherwise the names of folders inside it in which the files may lie."""
