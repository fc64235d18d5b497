"""SequenceFormat: one row of the table of sequence formats; each row is in its format's file."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from .motion import Motion
from .posing import Channels

FrameWriter = Callable[[Path, Motion, Channels], None]
"""Writes one frame to a new path; frames are written in any order, from several threads."""

WholeWriter = Callable[[Path, Motion, Iterable[Channels]], None]
"""Writes all frames, which are iterated in order, to a new path."""


@dataclass(frozen=True)
class SequenceFormat:
    """One file format of a motion.

    The same motion gives the same bytes: the files hold no dates and no paths.
    """

    name: str
    description: str
    suffix: str
    """With the dot."""
    channels: tuple[str, ...]
    """Channels of `posing.CHANNELS` that the writer uses; colours are optional."""
    per_frame: FrameWriter | None = None
    """Writer of a format with a file a frame."""
    whole: WholeWriter | None = None
    """Writer of a format with one file for all frames."""
    needs_mesh: bool = False
    """Whether the file moves the vertices of a separate mesh: the neutral head, beside it."""
    modules: tuple[str, ...] = ()
    """Modules that must be importable; checked before the long work."""
    extra: str = "scene"
    """The extra of this package that installs `modules`."""

    own_colours: bool = False
    """Whether the file has one colour for each vertex in all frames."""
    notes: Callable[[Motion], list[str]] = lambda motion: []
    """Sentences for the user about the file, before it is written."""

    @property
    def carries_colours(self) -> bool:
        """Whether the format can hold a colour for each vertex and frame."""
        return "colours" in self.channels
