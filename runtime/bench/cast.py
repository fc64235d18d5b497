"""Cast: the players of one combination, each lane of them in a thread of its own, asked for a few frames at a time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType

from imavatar_deploy.tracks import FlameFrame

from ..player import Player
from .combination import Combination

Lap = dict[str, float]
"""Seconds of each stage of a frame."""


@dataclass(frozen=True)
class Take:
    """What one round of frames took."""

    laps: list[Lap]
    """Of every frame of every avatar."""
    seconds: float
    """From the first beginning to the last end."""


class Cast:
    """Opens the players of a combination; use it in a `with` block.

    Raises:
        ImavatarError: what a Player raises.
    """

    def __init__(self, combination: Combination, engine_policy: str) -> None:
        self._combination = combination
        self._lanes = [ThreadPoolExecutor(1, "imavatar-bench") for _ in range(combination.lanes)]
        self._players: list[list[Player]] = [[] for _ in self._lanes]
        try:
            for index in range(combination.avatars):
                lane = index % len(self._lanes)
                # A device's context may belong to the thread that made it.
                opened = self._lanes[lane].submit(self._open, engine_policy)
                self._players[lane].append(opened.result())
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Cast:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every player where it was opened, and end the threads."""
        for lane, players in zip(self._lanes, self._players, strict=True):
            for player in players:
                lane.submit(player.close).result()
            lane.shutdown()

    @property
    def shading(self) -> str:
        """The row of `shade.SHADINGS` that colours."""
        return self._players[0][0].shading

    @property
    def note(self) -> str:
        """What the players tell of their backend."""
        return self._players[0][0].backend_note

    def covered(self, frame: FlameFrame) -> int:
        """How many pixels of a frame show the avatar."""
        player = self._players[0][0]
        image = self._lanes[0].submit(player.render, frame.expression, frame.pose).result()
        return int((image[..., 3] > 0).sum())

    def play(self, frames: Sequence[FlameFrame], seconds: float) -> Take:
        """Time `frames` with every player; a lane that has had its `seconds` ends with the frame it is at."""
        takes = [
            lane.submit(_play, players, frames, seconds)
            for lane, players in zip(self._lanes, self._players, strict=True)
        ]
        done = [take.result() for take in takes]
        first, last = min(begun for _, begun, _ in done), max(ended for _, _, ended in done)
        return Take([lap for laps, _, _ in done for lap in laps], last - first)

    def _open(self, engine_policy: str) -> Player:
        row = self._combination
        return Player(
            row.avatar,
            size=row.size,
            shading=row.shading,
            threads=row.threads_each,
            backend=row.backend,
            engine_policy=engine_policy,
        )


def _play(players: Sequence[Player], frames: Sequence[FlameFrame], seconds: float) -> tuple[list[Lap], float, float]:
    """The laps, when they began and when they ended."""
    begun, laps = time.perf_counter(), []
    for frame in frames:
        laps += [player.render_timed(frame.expression, frame.pose)[1] for player in players]
        if time.perf_counter() - begun > seconds:
            break
    return laps, begun, time.perf_counter()
