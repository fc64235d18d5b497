"""Request: what a bench was asked for, read and checked, and the measuring of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from imavatar_deploy.progress import Progress, silent
from imavatar_deploy.tracks import FlameFrame, read_track

from .combination import BenchAvatar, BenchAxes, combinations, subject_of
from .implicit import FRAMES, ImplicitBenchJob, check_checkpoint, time_implicit
from .measure import Outcome, TimingPlan, Unavailable, time_all
from .results import Facts, add_ratios, baked_facts, implicit_facts

CPU = "cpu"
"""The backend that needs no device."""


@dataclass(frozen=True)
class Implicit:
    """What is asked of the implicit renderer.

    Raises:
        InputError: there is no such checkpoint.
    """

    checkpoint: str
    size: tuple[int, int]
    tracers: Sequence[str]

    def __post_init__(self) -> None:
        check_checkpoint(self.checkpoint)


@dataclass(frozen=True)
class BenchRequest:
    """A bench."""

    choices: BenchAxes
    pace: TimingPlan
    implicit: Implicit | None = None

    def motion(self) -> list[FlameFrame]:
        """What is played: the bundled motion."""
        return list(read_track("talk").frames())

    def subjects(self) -> dict[str, BenchAvatar]:
        """What there is to know of each avatar.

        Raises:
            InputError: one cannot be read.
        """
        return {avatar: subject_of(avatar) for avatar in self.choices.avatars}

    def time_baked(self, progress: Progress = silent) -> list[Outcome]:
        """Every combination; at the implicit renderer's size, too, where that is asked."""
        sizes = dict.fromkeys(
            [*self.choices.sizes, *([self.implicit.size] if self.implicit else [])]
        )
        rows = combinations(replace(self.choices, sizes=list(sizes)))
        with progress("timing", len(rows) * len(self.pace.counts())) as advance:
            return time_all(rows, self.motion(), self.pace, advance)

    def order(self, subject: BenchAvatar) -> ImplicitBenchJob | None:
        """What the implicit renderer is to do: on the CPU, and on a GPU where a backend is asked that needs one."""
        if self.implicit is None:
            return None
        devices = [CPU, "cuda"] if set(self.choices.backends) - {CPU} else [CPU]
        frames = self.motion()[: self.pace.frames]
        some = frames[:: max(1, len(frames) // FRAMES)][:FRAMES]
        wanted = self.implicit
        return ImplicitBenchJob(
            wanted.checkpoint,
            wanted.tracers,
            devices,
            wanted.size,
            subject.camera,
            some,
            max(self.choices.threads),
            self.pace.seconds,
        )


def compare(request: BenchRequest, progress: Progress = silent) -> list[Facts]:
    """Every row, timed or not.

    Raises:
        InputError: an avatar cannot be read.
        ImavatarError: why the first combination cannot be played, where none can.
    """
    subjects = request.subjects()
    outcomes = request.time_baked(progress)
    if (failed := outcomes[0]) and all(isinstance(outcome, Unavailable) for outcome in outcomes):
        assert isinstance(failed, Unavailable)
        raise failed.error
    rows = [baked_facts(outcome, subjects[outcome.combination.avatar]) for outcome in outcomes]
    first = subjects[request.choices.avatars[0]]
    if order := request.order(first):
        with progress("the implicit renderer", None) as advance:
            rows += [implicit_facts(times, order, first) for times in time_implicit(order, advance)]
    add_ratios(rows)
    return rows
