"""Rounds: every combination is timed a few frames at a time, in turn, so that a noisy machine hurts all alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import cycle, islice, pairwise

from imavatar_deploy.errors import ImavatarError
from imavatar_deploy.tracks import FlameFrame

from .cast import Cast, Lap
from .combination import Combination

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
class Pace:
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
    laps: list[Lap] = field(default_factory=list)
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
    rows: Sequence[Combination], motion: Sequence[FlameFrame], pace: Pace, advance: Callable[[int], None]
) -> list[Outcome]:
    """Time every combination on a motion that is gone round as often as needed; `advance` counts (row, round) pairs."""
    outcomes: dict[Combination, Outcome] = {}
    for some in _companies(rows):
        with ExitStack() as stack:
            company = _Company(motion, pace, stack)
            for count in pace.counts():
                for row in some:
                    company.time(row, count)
                    advance(1)
            outcomes |= company.outcomes
    return [outcomes[row] for row in rows]


class _Company:
    """Combinations whose players are open together."""

    def __init__(self, motion: Sequence[FlameFrame], pace: Pace, stack: ExitStack) -> None:
        self.outcomes: dict[Combination, Outcome] = {}
        self._motion, self._pace, self._stack = motion, pace, stack
        self._casts: dict[Combination, Cast] = {}

    def time(self, row: Combination, count: int) -> None:
        """The next `count` frames of a combination, if it can be played."""
        try:
            outcome = self.outcomes.get(row) or self._open(row)
            if isinstance(outcome, Timed):
                self._one_round(outcome, count)
        except ImavatarError as error:
            self.outcomes[row] = Unavailable(row, error)

    def _open(self, row: Combination) -> Timed:
        cast = self._casts[row] = self._stack.enter_context(Cast(row, self._pace.engine_policy))
        cast.play(list(islice(cycle(self._motion), WARM_UP)), math.inf)
        timed = self.outcomes[row] = Timed(row, cast.shading, cast.note, cast.covered(self._motion[0]))
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
