"""Where a bake keeps what is not done yet: half-written outputs, and frames that wait to be put into one file."""

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


@dataclass(frozen=True)
class Staging:
    """The work folder inside the output folder: on the same disk, so that a rename is all or nothing."""

    folder: Path

    @contextmanager
    def whole(self, target: Path) -> Iterator[Path]:
        """Yield a path with the suffix of `target`, which it becomes when the block ends without an error."""
        partial = (
            self.folder
            / f"{PARTIAL}{platform.node()}-{os.getpid()}-{threading.get_ident()}-{target.name}"
        )
        try:
            yield partial
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Take away what a kill left half-written."""
        self.folder.mkdir(exist_ok=True)
        for path in self.folder.glob(f"{PARTIAL}*"):
            path.unlink()

    def remove(self) -> None:
        """Take everything away."""
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass(frozen=True)
class WaitingFrames:
    """Frames of some channels on the disk, so that memory never holds more than one of them."""

    staging: Staging
    channels: tuple[str, ...]

    def path(self, index: int) -> Path:
        """Where frame `index` waits."""
        return self.staging.folder / f"frame_{index:06d}.npy"

    def store(self, index: int, frame: Channels) -> None:
        """Let a frame wait."""
        with self.staging.whole(self.path(index)) as partial, partial.open("xb") as file:
            np.save(file, np.stack([frame[channel] for channel in self.channels]))

    def in_order(self, count: int) -> Iterator[Channels]:
        """The first `count` frames; where no channel is wanted, as many empty ones."""
        for index in range(count):
            yield (
                dict(zip(self.channels, np.load(self.path(index)), strict=True))
                if self.channels
                else {}
            )
