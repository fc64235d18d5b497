"""FrameWork: what is to be done with each frame of a bake, by whichever thread or machine takes it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from imavatar_deploy.errors import UsageError
from imavatar_deploy.progress import Advance
from imavatar_deploy.rendering.workers import MOST, available_cores

from .outputs import Outputs
from .posing import FramePoser
from .staging import Staging, WaitingFrames


@dataclass(frozen=True)
class FrameWork:
    """Everything that a worker must know; it can be sent to another machine that sees the same disk."""

    outputs: Outputs
    staging: Staging
    waiting: WaitingFrames

    def poser(self) -> FramePoser:
        """Poses what `bake` needs; every worker has its own."""
        whole = self.outputs.whole() if self.waiting.channels else []
        return FramePoser(
            self.outputs.take, self.outputs.channels([*self.outputs.per_frame(), *whole])
        )

    def bake(self, index: int, poser: FramePoser) -> None:
        """Write all that a frame becomes. Doing it twice, even at the same time, gives the same bytes."""
        frame = poser(index)
        for row in self.outputs.per_frame():
            assert row.per_frame is not None
            with self.staging.whole(self.outputs.frame(row, index)) as partial:
                wanted = self.outputs.channels([row])
                row.per_frame(
                    partial, self.outputs.take, {channel: frame[channel] for channel in wanted}
                )
        if self.waiting.channels:
            self.waiting.store(index, frame)


Crew = Callable[[FrameWork, list[int], Advance], None]
"""Bakes the frames of these indices, and tells of each."""


# Threads that take frame after frame until none is left or one of them fails.


def threads(jobs: int | None = None) -> Crew:
    """A crew of so many threads of this process; as many as there are cores when None.

    What takes long (posing, colouring, formatting, writing) holds no interpreter's lock, and nothing is left behind
    when the process is killed.

    Raises:
        UsageError: an impossible number.
    """
    count = available_cores() if jobs is None else jobs
    if not 1 <= count <= MOST:
        raise UsageError(f"--jobs must be between 1 and {MOST}, got {jobs}")

    def crew(work: FrameWork, frames: list[int], advance: Advance) -> None:
        _Threads(work, frames, advance).run(min(count, len(frames)))

    return crew


class _Threads:
    def __init__(self, work: FrameWork, frames: list[int], advance: Advance) -> None:
        self._work, self._advance = work, advance
        self._frames = iter(frames)
        self._lock, self._stop = threading.Lock(), threading.Event()

    def run(self, count: int) -> None:
        with ThreadPoolExecutor(count, "bake") as pool:
            try:
                for done in [pool.submit(self._take_frames) for _ in range(count)]:
                    done.result()
            finally:
                self._stop.set()

    def _take_frames(self) -> None:
        try:
            poser = self._work.poser()
            while not self._stop.is_set() and (index := self._next()) is not None:
                self._work.bake(index, poser)
                self._advance(1)
        except BaseException:
            self._stop.set()
            raise

    def _next(self) -> int | None:
        with self._lock:
            return next(self._frames, None)
