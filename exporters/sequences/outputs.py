"""Outputs: which files a take becomes, which of them are there, and what their frames must know."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .format import SequenceFormat
from .motion import Motion
from .posing import CHANNELS

NAME = "head"
"""Of files that hold all frames, and of the mesh in a scene."""


@dataclass(frozen=True)
class Outputs:
    """The files of some formats in a folder.

    out/obj/frame_000000.obj ...   a file a frame, counted from 0
    out/head.pc2                   all frames in one
    out/head.obj                   the neutral head, for files that hold no mesh
    """

    out: Path
    take: Motion
    rows: Sequence[SequenceFormat]

    @property
    def mesh(self) -> Path | None:
        """Where the neutral head goes, if a format needs it."""
        return self.out / f"{NAME}.obj" if any(row.needs_mesh for row in self.rows) else None

    def file(self, row: SequenceFormat) -> Path:
        """The one file of a format with all frames in it."""
        return self.out / f"{NAME}{row.suffix}"

    def frame(self, row: SequenceFormat, index: int) -> Path:
        """The file of a frame."""
        return self.out / row.name / f"frame_{index:06d}{row.suffix}"

    def per_frame(self) -> list[SequenceFormat]:
        """Formats with a file a frame."""
        return [row for row in self.rows if row.per_frame]

    def whole(self) -> list[SequenceFormat]:
        """Formats with one file for all frames."""
        return [row for row in self.rows if row.whole]

    def unwritten(self) -> list[SequenceFormat]:
        """Those of `whole` whose file is not there yet."""
        return [row for row in self.whole() if not self.file(row).exists()]

    def channels(self, rows: Sequence[SequenceFormat]) -> tuple[str, ...]:
        """What these formats make use of and the take gives, in the order of `CHANNELS`."""
        used = {channel for row in rows for channel in row.channels} - (
            set() if self.take.colour else {"colours"}
        )
        return tuple(channel for channel in CHANNELS if channel in used)

    def missing(self, waiting: Path | None) -> list[int]:
        """Frames of which a file is not there.

        Args:
            waiting: the folder of frames that wait for their file, where some must.
        """
        wanted = [(self.frame(row, 0).parent, row.suffix) for row in self.per_frame()]
        wanted += [(waiting, ".npy")] if waiting else []
        there = [
            ({entry.name for entry in os.scandir(folder)}, suffix) for folder, suffix in wanted
        ]
        return [
            index
            for index in range(len(self.take))
            if any(f"frame_{index:06d}{suffix}" not in names for names, suffix in there)
        ]

    def written(self) -> list[Path]:
        """What a user is told of: a folder for files a frame, else the file."""
        meshes = [self.mesh] if self.mesh else []
        return [
            self.out / row.name if row.per_frame else self.file(row) for row in self.rows
        ] + meshes
