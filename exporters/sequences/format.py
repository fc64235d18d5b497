"""SequenceFormat: one row of the table of sequence formats; each format's file owns its row."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from .motion import Motion
from .posing import Channels

FrameWriter = Callable[[Path, Motion, Channels], None]
"""Writes one frame to a path that does not exist; frames are written in any order, from several threads."""

WholeWriter = Callable[[Path, Motion, Iterable[Channels]], None]
"""Writes all frames, which come in order and one at a time, to a path that does not exist."""


@dataclass(frozen=True)
class SequenceFormat:
    """How a take becomes files of one format. The same take gives the same bytes: no dates, no paths."""

    name: str
    description: str
    suffix: str
    """With the dot."""
    channels: tuple[str, ...]
    """Of `posing.CHANNELS`, what the writer makes use of; colours come only where they are asked for."""
    per_frame: FrameWriter | None = None
    """For a file a frame."""
    whole: WholeWriter | None = None
    """For one file with all frames in it."""
    needs_mesh: bool = False
    """The file moves the vertices of a mesh that it does not hold: the neutral head is written beside it."""
    modules: tuple[str, ...] = ()
    """What must be importable; asked for before the long work."""
    extra: str = "scene"
    """The extra of this package that brings `modules`."""

    own_colours: bool = False
    """Whether it has colours of its own, one for each vertex and the whole motion."""
    notes: Callable[[Motion], list[str]] = lambda take: []
    """What the user must be told of the file beforehand."""

    @property
    def carries_colours(self) -> bool:
        """Whether the format can hold a colour for each vertex and frame."""
        return "colours" in self.channels
