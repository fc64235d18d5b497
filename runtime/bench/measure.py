"""Timing in rounds: a few frames of every combination in turn, so that load affects all alike."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import cycle, islice, pairwise
from threading import Event
from types import TracebackType
from typing import Generic, TypeVar

from imavatar_deploy.errors import ImavatarError
from imavatar_deploy.tracks import FlameFrame

from ..player import Player
from .combination import Combination

Result = TypeVar("Result")

StageTimes = dict[str, float]
"""Seconds of each stage of a frame."""


@dataclass(frozen=True)
class Timing:
    """The times of one round."""

    totals: list[float]
    """Seconds of every frame of every avatar."""
    seconds: float
    """From the start of the first frame to the end of the last."""


class PlayerGroup:
    """The players of a combination, each lane of them in a thread of its own.

    Use it in a `with` block.

    Raises:
        ImavatarError: as `Player`.
    """

    def __init__(self, combination: Combination, engine_policy: str) -> None:
        self._combination = combination
        self._lanes = [ThreadPoolExecutor(1, "imavatar-bench") for _ in range(combination.lanes)]
        self._players: list[list[Player]] = [[] for _ in self._lanes]
        self._stopped = Event()
        try:
            for index in range(combination.avatars):
                lane = index % len(self._lanes)
                # a device's context may belong to the thread that created it
                opened = self._lanes[lane].submit(self._open, engine_policy)
                self._players[lane].append(opened.result())
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> PlayerGroup:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every player in its thread, after its present frame, and end the threads."""
        self._stopped.set()
        for lane, players in zip(self._lanes, self._players, strict=True):
            for player in players:
                lane.submit(player.close).result()
            lane.shutdown()

    @property
    def shading(self) -> str:
        """The row of `shading.SHADINGS` that colours."""
        return self._players[0][0].shading

    @property
    def note(self) -> str:
        """The players' note on their backend."""
        return self._players[0][0].backend_note

    def covered(self, frame: FlameFrame) -> int:
        """Number of pixels of a frame that show the avatar."""
        player = self._players[0][0]
        image = self._lanes[0].submit(player.render, frame.expression, frame.pose).result()
        return int((image[..., 3] > 0).sum())

    def play(self, frames: Sequence[FlameFrame], seconds: float) -> Timing:
        """Time `frames` with every player; after `seconds` a lane ends with its current frame."""
        parts = self._in_lanes(_whole_frame, frames, seconds)
        first = min(part.begun for part in parts)
        last = max(part.ended for part in parts)
        return Timing([total for part in parts for total in part.results], last - first)

    def stages(self, frames: Sequence[FlameFrame], seconds: float) -> list[StageTimes]:
        """Time the stages of `frames`; apart from `play`, since players wait between stages."""
        parts = self._in_lanes(_stages, frames, seconds)
        return [times for part in parts for times in part.results]

    def _in_lanes(
        self,
        work: Callable[[Player, FlameFrame], Result],
        frames: Sequence[FlameFrame],
        seconds: float,
    ) -> list[_Part[Result]]:
        parts = [
            lane.submit(_each, work, players, frames, seconds, self._stopped)
            for lane, players in zip(self._lanes, self._players, strict=True)
        ]
        return [part.result() for part in parts]

    def _open(self, engine_policy: str) -> Player:
        row = self._combination
        return Player(
            row.avatar,
            size=row.size,
            shading=row.shading,
            threads=row.threads_each,
            backend=row.backend,
            engine_policy=engine_policy,
            antialias=row.antialias,
        )


@dataclass(frozen=True)
class _Part(Generic[Result]):
    """The results of one lane."""

    results: list[Result]
    begun: float
    ended: float


def _each(
    work: Callable[[Player, FlameFrame], Result],
    players: Sequence[Player],
    frames: Sequence[FlameFrame],
    seconds: float,
    stopped: Event,
) -> _Part[Result]:
    """Call `work` for every frame of every player, until time is up or `stopped` is set."""
    begun = time.perf_counter()
    results = []
    for frame in frames:
        results += [work(player, frame) for player in players]
        if stopped.is_set() or time.perf_counter() - begun > seconds:
            break
    return _Part(results, begun, time.perf_counter())


def _whole_frame(player: Player, frame: FlameFrame) -> float:
    started = time.perf_counter()
    player.render(frame.expression, frame.pose)
    return time.perf_counter() - started


def _stages(player: Player, frame: FlameFrame) -> StageTimes:
    return player.render_timed(frame.expression, frame.pose)[1]


# Rounds

ROUNDS = 5
"""Rounds in which the combinations take turns."""

WARM_UP_FRAMES = 5
"""Untimed frames at first: they load compiled code, touch memory and start the network's
threads."""

REWARM_FRAMES = 1
"""Untimed frames of each later round: other combinations have replaced the caches."""

STAGE_INTERVAL = 3
"""One of so many frames is drawn again for its stages."""

PLAYER_LIMIT = 24
"""Players open at once: at 512 pixels a side and 50,000 faces each holds about 100 MB."""


@dataclass(frozen=True)
class TimingPlan:
    """How long a combination is timed."""

    frames: int
    """Frames of each avatar."""
    seconds: float = math.inf
    """Time limit; at least one frame a round is drawn."""
    rounds: int = ROUNDS
    engine_policy: str = "rebuild"

    def counts(self) -> list[int]:
        """Frames of each round."""
        edges = [self.frames * turn // self.rounds for turn in range(self.rounds + 1)]
        return [count for start, stop in pairwise(edges) if (count := stop - start)]


@dataclass
class Timed:
    """The measurements of a combination."""

    combination: Combination
    shading: str
    note: str
    covered: int
    """Pixels of a frame that show the avatar."""
    totals: list[float] = field(default_factory=list)
    """Seconds of every frame of every avatar."""
    stage_times: list[StageTimes] = field(default_factory=list)
    """Seconds of the stages of some frames."""
    seconds: float = 0.0
    """Seconds of all frames of `totals` together."""


@dataclass(frozen=True)
class Unavailable:
    """A combination that cannot be played here."""

    combination: Combination
    error: ImavatarError


Outcome = Timed | Unavailable


def time_all(
    rows: Sequence[Combination],
    motion: Sequence[FlameFrame],
    plan: TimingPlan,
    advance: Callable[[int], None],
) -> list[Outcome]:
    """Time every combination.

    Args:
        motion: frames, repeated as often as needed.
        advance: counts (row, round) pairs.
    """
    outcomes: dict[Combination, Outcome] = {}
    for batch in _batches(rows):
        with ExitStack() as stack:
            groups = _OpenGroups(motion, plan, stack)
            for count in plan.counts():
                for row in batch:
                    groups.time(row, count)
                    advance(1)
            outcomes |= groups.outcomes
    return [outcomes[row] for row in rows]


class _OpenGroups:
    """Combinations whose players are open together."""

    def __init__(self, motion: Sequence[FlameFrame], plan: TimingPlan, stack: ExitStack) -> None:
        self.outcomes: dict[Combination, Outcome] = {}
        self._motion = motion
        self._plan = plan
        self._stack = stack
        self._groups: dict[Combination, PlayerGroup] = {}

    def time(self, row: Combination, count: int) -> None:
        """Time the next `count` frames of a combination, if it can be played."""
        try:
            outcome = self.outcomes.get(row) or self._open(row)
            if isinstance(outcome, Timed):
                self._one_round(outcome, count)
        except ImavatarError as error:
            self.outcomes[row] = Unavailable(row, error)

    def _open(self, row: Combination) -> Timed:
        group = self._groups[row] = self._stack.enter_context(
            PlayerGroup(row, self._plan.engine_policy)
        )
        group.play(list(islice(cycle(self._motion), WARM_UP_FRAMES)), math.inf)
        timed = self.outcomes[row] = Timed(
            row, group.shading, group.note, group.covered(self._motion[0])
        )
        return timed

    def _one_round(self, timed: Timed, count: int) -> None:
        group = self._groups[timed.combination]
        seconds = self._plan.seconds / self._plan.rounds
        start = len(timed.totals) // timed.combination.avatars
        group.play(self._motion[:REWARM_FRAMES], math.inf)
        frames = list(islice(cycle(self._motion), start, start + count))
        timing = group.play(frames, seconds)
        timed.totals += timing.totals
        timed.seconds += timing.seconds
        timed.stage_times += group.stages(frames[::STAGE_INTERVAL], seconds / STAGE_INTERVAL)


def _batches(rows: Sequence[Combination]) -> Iterator[list[Combination]]:
    """Rows in order, in batches of at most `PLAYER_LIMIT` players."""
    batch: list[Combination] = []
    for row in rows:
        if batch and sum(other.avatars for other in batch) + row.avatars > PLAYER_LIMIT:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
