"""Staging: the work folder of a bake, with incomplete outputs and frames before their assembly."""

from __future__ import annotations

import os
import platform
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .posing import Channels

PARTIAL = "partial-"
"""Prefix of incomplete files."""


@dataclass(frozen=True)
class Staging:
    """The work folder inside the output folder, on the same disk, so that renaming is atomic."""

    folder: Path

    @contextmanager
    def whole(self, target: Path) -> Iterator[Path]:
        """Yield a path in the work folder; rename it to `target` if the block raises no error.

        The path has the suffix of `target`.
        """
        worker = f"{platform.node()}-{os.getpid()}-{threading.get_ident()}"
        partial = self.folder / f"{PARTIAL}{worker}-{target.name}"
        try:
            yield partial
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Create the folder, and remove the incomplete files of a killed bake."""
        self.folder.mkdir(exist_ok=True)
        for path in self.folder.glob(f"{PARTIAL}*"):
            path.unlink()

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass(frozen=True)
class WaitingFrames:
    """Frames on the disk until they are assembled into one file; memory holds one at a time."""

    staging: Staging
    channels: tuple[str, ...]

    def path(self, index: int) -> Path:
        """Path of frame `index`."""
        return self.staging.folder / f"frame_{index:06d}.npy"

    def store(self, index: int, frame: Channels) -> None:
        """Write a frame."""
        with self.staging.whole(self.path(index)) as partial, partial.open("xb") as file:
            np.save(file, np.stack([frame[channel] for channel in self.channels]))

    def in_order(self, count: int) -> Iterator[Channels]:
        """Yield the first `count` frames; they are empty if there are no channels."""
        for index in range(count):
            yield (
                dict(zip(self.channels, np.load(self.path(index)), strict=True))
                if self.channels
                else {}
            )
