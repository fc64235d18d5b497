"""FrameWork: what is to be done with each frame of a bake, by whichever thread or machine takes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from imavatar_deploy.progress import Advance

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
        return FramePoser(self.outputs.take, self.outputs.channels([*self.outputs.per_frame(), *whole]))

    def bake(self, index: int, poser: FramePoser) -> None:
        """Write all that a frame becomes. Doing it twice, even at the same time, gives the same bytes."""
        frame = poser(index)
        for row in self.outputs.per_frame():
            assert row.per_frame is not None
            with self.staging.whole(self.outputs.frame(row, index)) as partial:
                wanted = self.outputs.channels([row])
                row.per_frame(partial, self.outputs.take, {channel: frame[channel] for channel in wanted})
        if self.waiting.channels:
            self.waiting.store(index, frame)


Crew = Callable[[FrameWork, list[int], Advance], None]
"""Bakes the frames of these indices, and tells of each."""
