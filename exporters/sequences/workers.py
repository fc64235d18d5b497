"""FrameWork: the work on each frame of a bake; and its execution on threads of this process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from imavatar_deploy.errors import UsageError
from imavatar_deploy.progress import Advance
from imavatar_deploy.rendering.workers import MAX_THREADS, available_cores

from .outputs import Outputs
from .posing import FramePoser
from .staging import Staging, WaitingFrames


@dataclass(frozen=True)
class FrameWork:
    """All that a worker needs; it can be sent to another machine that has the same disk."""

    outputs: Outputs
    staging: Staging
    waiting: WaitingFrames

    def poser(self) -> FramePoser:
        """A poser with the channels that `bake` needs; every worker has its own."""
        whole = self.outputs.whole() if self.waiting.channels else []
        channels = self.outputs.channels([*self.outputs.per_frame(), *whole])
        return FramePoser(self.outputs.motion, channels)

    def bake(self, index: int, poser: FramePoser) -> None:
        """Write the files of one frame. Repeated or concurrent calls write the same bytes."""
        frame = poser(index)
        for row in self.outputs.per_frame():
            assert row.per_frame is not None
            channels = {name: frame[name] for name in self.outputs.channels([row])}
            with self.staging.whole(self.outputs.frame(row, index)) as partial:
                row.per_frame(partial, self.outputs.motion, channels)
        if self.waiting.channels:
            self.waiting.store(index, frame)


FrameExecutor = Callable[[FrameWork, list[int], Advance], None]
"""Bakes the frames with these indices, and calls `advance` after each."""


def thread_executor(jobs: int | None = None) -> FrameExecutor:
    """An executor on threads of this process.

    The slow parts (posing, colouring, formatting, writing) do not hold the interpreter's lock. A
    killed process leaves no other process behind.

    Args:
        jobs: number of threads; as many as there are cores when None.

    Raises:
        UsageError: the number is out of range.
    """
    count = available_cores() if jobs is None else jobs
    if not 1 <= count <= MAX_THREADS:
        raise UsageError(f"--jobs must be between 1 and {MAX_THREADS}, got {jobs}")

    def execute(work: FrameWork, frames: list[int], advance: Advance) -> None:
        _Threads(work, frames, advance).run(min(count, len(frames)))

    return execute


class _Threads:
    """Threads that process frames until none is left or one of them fails."""

    def __init__(self, work: FrameWork, frames: list[int], advance: Advance) -> None:
        self._work = work
        self._advance = advance
        self._frames = iter(frames)
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def run(self, count: int) -> None:
        with ThreadPoolExecutor(count, "bake") as pool:
            try:
                for thread in [pool.submit(self._process) for _ in range(count)]:
                    thread.result()
            finally:
                self._stop.set()

    def _process(self) -> None:
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
