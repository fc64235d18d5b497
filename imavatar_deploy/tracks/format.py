"""TrackFormat: one row of the table of track formats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from imavatar_deploy.tracks.track import FlameTrack


class ForeignContentError(Exception):
    """Raised by a reader for a file of another format; the next format is then tried."""


@dataclass(frozen=True)
class TrackFormat:
    """A file format for motions, defined in the module that reads and writes it."""

    name: str
    description: str
    suffixes: tuple[str, ...]
    """Lower case, with the dot. Formats may share a suffix; their readers inspect the contents."""
    read: Callable[[Path], FlameTrack]
    """Reads a file, or a folder unless `folders` is None.

    Raises InputError for a broken file and ForeignContentError for one of another format.
    """
    write: Callable[[FlameTrack, Path], None] | None = None
    """Writes to exactly this path (`write_track` makes it atomic); None if unsupported."""
    unread: Callable[[Path], set[str]] | None = None
    """Returns the names of the entries of a file or folder that `read` ignores; optional.

    Raises ForeignContentError for a file of another format.
    """
    folders: tuple[str, ...] | None = None
    """Names of subfolders in which the files may be; None if the format reads no folders."""
    alone: tuple[str, ...] = ()
    """Suffixes of files that are read by themselves, and ignored in a folder."""

    @property
    def folder_suffixes(self) -> tuple[str, ...]:
        """Suffixes of the files of a folder."""
        return tuple(suffix for suffix in self.suffixes if suffix not in self.alone)
