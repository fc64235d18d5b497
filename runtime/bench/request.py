"""BenchRequest: the options of a bench, and the measurement of all its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from imavatar_deploy.progress import Progress, silent
from imavatar_deploy.tracks import FlameFrame, read_track

from .combination import BenchAvatar, BenchAxes, combinations, read_bench_avatar
from .implicit import FRAME_LIMIT, ImplicitBenchJob, check_checkpoint, time_implicit
from .measure import Outcome, TimingPlan, Unavailable, time_all
from .results import Facts, add_ratios, baked_facts, implicit_facts

CPU = "cpu"
"""The backend that needs no device."""


@dataclass(frozen=True)
class Implicit:
    """The options of the implicit renderer.

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
    """The options of a bench."""

    axes: BenchAxes
    plan: TimingPlan
    implicit: Implicit | None = None

    def motion(self) -> list[FlameFrame]:
        """The frames that are played: the bundled motion."""
        return list(read_track("talk").frames())

    def avatars(self) -> dict[str, BenchAvatar]:
        """Read the figures of each avatar.

        Raises:
            InputError: an avatar cannot be read.
        """
        return {name: read_bench_avatar(name) for name in self.axes.avatars}

    def time_baked(self, progress: Progress = silent) -> list[Outcome]:
        """Time every combination; at the implicit renderer's size as well, where there is one."""
        sizes = dict.fromkeys([*self.axes.sizes, *([self.implicit.size] if self.implicit else [])])
        rows = combinations(replace(self.axes, sizes=list(sizes)))
        with progress("timing", len(rows) * len(self.plan.counts())) as advance:
            return time_all(rows, self.motion(), self.plan, advance)

    def implicit_job(self, avatar: BenchAvatar) -> ImplicitBenchJob | None:
        """The implicit renderer's job: on the CPU, and on a GPU where a backend needs one."""
        if self.implicit is None:
            return None
        devices = [CPU, "cuda"] if set(self.axes.backends) - {CPU} else [CPU]
        frames = self.motion()[: self.plan.frames]
        return ImplicitBenchJob(
            self.implicit.checkpoint,
            self.implicit.tracers,
            devices,
            self.implicit.size,
            avatar.camera,
            frames[:: max(1, len(frames) // FRAME_LIMIT)][:FRAME_LIMIT],
            max(self.axes.threads),
            self.plan.seconds,
        )


def compare(request: BenchRequest, progress: Progress = silent) -> list[Facts]:
    """Time every row of a request; rows that cannot be timed say why.

    Raises:
        InputError: an avatar cannot be read.
        ImavatarError: no combination can be played; the error of the first.
    """
    avatars = request.avatars()
    outcomes = request.time_baked(progress)
    if (failed := outcomes[0]) and all(isinstance(outcome, Unavailable) for outcome in outcomes):
        assert isinstance(failed, Unavailable)
        raise failed.error
    rows = [baked_facts(outcome, avatars[outcome.combination.avatar]) for outcome in outcomes]
    first = avatars[request.axes.avatars[0]]
    if job := request.implicit_job(first):
        with progress("the implicit renderer", None) as advance:
            rows += [implicit_facts(times, job, first) for times in time_implicit(job, advance)]
    add_ratios(rows)
    return rows
