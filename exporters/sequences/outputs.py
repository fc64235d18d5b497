"""Outputs: the files of a bake, which of them exist, and the channels that they need."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .format import SequenceFormat
from .motion import Motion
from .posing import CHANNELS

NAME = "head"
"""Name of files that hold all frames, and of the mesh in a scene."""


@dataclass(frozen=True)
class Outputs:
    """The files of a motion in some formats.

    out/obj/frame_000000.obj ...   a file a frame, counted from 0
    out/head.pc2                   all frames in one
    out/head.obj                   the neutral head, for files that hold no mesh
    """

    out: Path
    motion: Motion
    rows: Sequence[SequenceFormat]

    @property
    def mesh(self) -> Path | None:
        """The file of the neutral head; None if no format needs it."""
        return self.out / f"{NAME}.obj" if any(row.needs_mesh for row in self.rows) else None

    def file(self, row: SequenceFormat) -> Path:
        """The file of a format with all frames in one."""
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
        """Formats of `whole` whose file does not exist yet."""
        return [row for row in self.whole() if not self.file(row).exists()]

    def channels(self, rows: Sequence[SequenceFormat]) -> tuple[str, ...]:
        """Channels that these formats use and the motion has, in the order of `CHANNELS`."""
        used = {channel for row in rows for channel in row.channels}
        if not self.motion.coloured:
            used.discard("colours")
        return tuple(channel for channel in CHANNELS if channel in used)

    def stored_channels(self) -> tuple[str, ...]:
        """Channels of every frame that the formats of `whole` use.

        The colours of the neutral face are in the motion.
        """
        moving = self.motion.colour is True
        channels = self.channels(self.whole())
        return tuple(channel for channel in channels if moving or channel != "colours")

    def missing(self, waiting: Path | None) -> list[int]:
        """Frames of which a file does not exist.

        Args:
            waiting: the folder of frames that are stored for assembly; None if there are none.
        """
        folders = [(self.frame(row, 0).parent, row.suffix) for row in self.per_frame()]
        if waiting:
            folders.append((waiting, ".npy"))
        existing = [
            ({entry.name for entry in os.scandir(folder)}, suffix) for folder, suffix in folders
        ]
        return [
            index
            for index in range(len(self.motion))
            if any(f"frame_{index:06d}{suffix}" not in names for names, suffix in existing)
        ]

    def paths(self) -> list[Path]:
        """Paths of the outputs: of a format with a file a frame its folder, else its file."""
        meshes = [self.mesh] if self.mesh else []
        return [
            self.out / row.name if row.per_frame else self.file(row) for row in self.rows
        ] + meshes
