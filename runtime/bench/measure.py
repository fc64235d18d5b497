"""Rounds: every combination is timed a few frames at a time, in turn, so that a noisy machine hurts all alike."""

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

# Cast: the players of one combination, each lane of them in a thread of its own, asked for a few frames at a time.


Result = TypeVar("Result")

StageTimes = dict[str, float]
"""Seconds of each stage of a frame."""


@dataclass(frozen=True)
class Timing:
    """What one round of frames took."""

    totals: list[float]
    """Seconds of every frame of every avatar."""
    seconds: float
    """From the first beginning to the last end."""


class PlayerGroup:
    """Opens the players of a combination; use it in a `with` block.

    Raises:
        ImavatarError: what a Player raises.
    """

    def __init__(self, combination: Combination, engine_policy: str) -> None:
        self._combination = combination
        self._lanes = [ThreadPoolExecutor(1, "imavatar-bench") for _ in range(combination.lanes)]
        self._players: list[list[Player]] = [[] for _ in self._lanes]
        self._stopped = Event()
        try:
            for index in range(combination.avatars):
                lane = index % len(self._lanes)
                # A device's context may belong to the thread that made it.
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
        """Close every player where it was opened, and end the threads; what is playing ends with its frame."""
        self._stopped.set()
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

    def play(self, frames: Sequence[FlameFrame], seconds: float) -> Timing:
        """Time `frames` with every player; a lane that has had its `seconds` ends with the frame it is at."""
        done = self._in_lanes(_whole_frame, frames, seconds)
        first, last = min(part.begun for part in done), max(part.ended for part in done)
        return Timing([total for part in done for total in part.results], last - first)

    def stages(self, frames: Sequence[FlameFrame], seconds: float) -> list[StageTimes]:
        """The stages of `frames`, apart from `play`: between them a player waits for its device."""
        return [lap for part in self._in_lanes(_stages, frames, seconds) for lap in part.results]

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
        )


@dataclass(frozen=True)
class _Part(Generic[Result]):
    """What one lane did."""

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
    """`work` for every frame of every player, until `seconds` are used up or somebody has had enough."""
    begun, results = time.perf_counter(), []
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


ROUNDS = 5

WARM_UP = 5
"""Frames before the clock starts: compiled code is loaded, memory is touched, the network's pool is woken."""

AGAIN = 1
"""Frames before it starts again: the others' have taken the caches."""

STAGED = 3
"""Of so many frames one is drawn again for its stages."""

MOST_PLAYERS = 24
"""Open at once: at 512 pixels a side and 50,000 faces each holds about 100 MB. Combinations beyond it wait."""


@dataclass(frozen=True)
class TimingPlan:
    """How long a combination is timed."""

    frames: int
    """Of each avatar."""
    seconds: float = math.inf
    """After which it has enough frames, at least one a round."""
    rounds: int = ROUNDS
    engine_policy: str = "rebuild"

    def counts(self) -> list[int]:
        """Frames of each round."""
        edges = [self.frames * turn // self.rounds for turn in range(self.rounds + 1)]
        return [count for start, stop in pairwise(edges) if (count := stop - start)]


@dataclass
class Timed:
    """What was measured of a combination."""

    combination: Combination
    shading: str
    note: str
    covered: int
    """Pixels of a frame that show the avatar."""
    totals: list[float] = field(default_factory=list)
    """Seconds of every frame of every avatar."""
    laps: list[StageTimes] = field(default_factory=list)
    """Seconds of the stages of some."""
    seconds: float = 0.0
    """In which all frames of `totals` were drawn."""


@dataclass(frozen=True)
class Unavailable:
    """A combination that cannot be played here."""

    combination: Combination
    error: ImavatarError


Outcome = Timed | Unavailable


def time_all(
    rows: Sequence[Combination],
    motion: Sequence[FlameFrame],
    pace: TimingPlan,
    advance: Callable[[int], None],
) -> list[Outcome]:
    """Time every combination on a motion that is gone round as often as needed; `advance` counts (row, round) pairs."""
    outcomes: dict[Combination, Outcome] = {}
    for some in _companies(rows):
        with ExitStack() as stack:
            company = _OpenGroups(motion, pace, stack)
            for count in pace.counts():
                for row in some:
                    company.time(row, count)
                    advance(1)
            outcomes |= company.outcomes
    return [outcomes[row] for row in rows]


class _OpenGroups:
    """Combinations whose players are open together."""

    def __init__(self, motion: Sequence[FlameFrame], pace: TimingPlan, stack: ExitStack) -> None:
        self.outcomes: dict[Combination, Outcome] = {}
        self._motion, self._pace, self._stack = motion, pace, stack
        self._casts: dict[Combination, PlayerGroup] = {}

    def time(self, row: Combination, count: int) -> None:
        """The next `count` frames of a combination, if it can be played."""
        try:
            outcome = self.outcomes.get(row) or self._open(row)
            if isinstance(outcome, Timed):
                self._one_round(outcome, count)
        except ImavatarError as error:
            self.outcomes[row] = Unavailable(row, error)

    def _open(self, row: Combination) -> Timed:
        cast = self._casts[row] = self._stack.enter_context(
            PlayerGroup(row, self._pace.engine_policy)
        )
        cast.play(list(islice(cycle(self._motion), WARM_UP)), math.inf)
        timed = self.outcomes[row] = Timed(
            row, cast.shading, cast.note, cast.covered(self._motion[0])
        )
        return timed

    def _one_round(self, timed: Timed, count: int) -> None:
        cast, seconds = self._casts[timed.combination], self._pace.seconds / self._pace.rounds
        start = len(timed.totals) // timed.combination.avatars
        cast.play(self._motion[:AGAIN], math.inf)
        frames = list(islice(cycle(self._motion), start, start + count))
        take = cast.play(frames, seconds)
        timed.totals += take.totals
        timed.seconds += take.seconds
        timed.laps += cast.stages(frames[::STAGED], seconds / STAGED)


def _companies(rows: Sequence[Combination]) -> Iterator[list[Combination]]:
    """Rows in order, as many together as may be open at once."""
    company: list[Combination] = []
    for row in rows:
        if company and sum(other.avatars for other in company) + row.avatars > MOST_PLAYERS:
            yield company
            company = []
        company.append(row)
    if company:
        yield company
