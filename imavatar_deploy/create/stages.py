"""The stages of `imavatar-create`: the command of each, its outputs and its settings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imavatar_deploy.avatar_io import MANIFEST
from imavatar_deploy.consent import OPTION
from imavatar_deploy.errors import InputError, QualityError

from .plan import EXPORT_MINUTES, REFINE_MINUTES
from .summaries import evaluation_lines, export_lines, printed_lines
from .work import CreateFolder

HELD_OUT = 0.1
"""Share of the frames, the last ones, that training does not use."""

REJECTED_REPORT = "report.json"
"""File that marks a folder as a withheld avatar."""

REFINED_FRAMES = 10
"""Smallest number of frames that `imavatar-export --refine` takes."""

NO_STUDENT = ("--no-student", "--from-field")
"""Options of `imavatar-export` with which there is no student to refine."""

Arguments = list[str]


@dataclass(frozen=True)
class CreateRequest:
    """What the user asked for."""

    videos: tuple[Path, ...]
    out: Path
    """The avatar folder."""
    minutes: float | None = None
    """Time allowed for all stages."""
    preset: str | None = None
    steps: int | None = None
    """Steps of training instead of a time."""
    frames: int | None = None
    """Largest number of frames to track."""
    size: int = 512
    """Side of the dataset's pictures and of the preview, pixels."""
    training_size: int = 256
    """Side of the pictures of training, pixels."""
    formats: str = "player"
    """Formats of the export, as `--format` takes them."""
    refine: bool = True
    """Whether the export fits the student to the frames of the training."""
    options: Mapping[str, tuple[str, ...]] | None = None
    """Stage -> further arguments of its command."""
    consent_option: bool = False
    """Whether consent is stated by the option, which the command of `track` then repeats."""

    @property
    def work(self) -> Path:
        """The folder of the stages' files, beside the avatar."""
        return self.out.with_name(f"{self.out.name}.work")

    @property
    def rejected(self) -> Path:
        """The folder of an avatar that the export withholds."""
        return self.out.with_name(f"{self.out.name}.rejected")

    @property
    def export_minutes(self) -> float:
        """Planned minutes of the export."""
        return EXPORT_MINUTES + (REFINE_MINUTES if self.refine else 0.0)

    def further(self, stage: str) -> list[str]:
        """Further arguments of a stage."""
        return list((self.options or {}).get(stage, ()))


@dataclass(frozen=True)
class CreateJob:
    """A request and its work folder."""

    request: CreateRequest
    work: CreateFolder


@dataclass(frozen=True)
class CreateStage:
    """One stage, which is one command."""

    name: str
    task: str
    """What it does, as the end of "to ..."."""
    command: Callable[[CreateJob], Arguments]
    """The program and its arguments; called when the stages before are done."""
    outputs: Callable[[CreateJob], list[Path]]
    """Files that exist once it is done."""
    settings: Callable[[CreateJob], Any]
    """JSON-ready values on which the result depends, beside the stages before."""
    partial: Callable[[CreateJob], Path]
    """Exists when an earlier run with the same settings can be continued, or must be replaced."""
    resume: tuple[str, ...] | None = None
    """Arguments that continue an interrupted run; None where it begins again."""
    replace: tuple[str, ...] = ("--overwrite",)
    """Arguments that replace a result with other settings."""
    folder: Callable[[CreateJob], Path] | None = None
    """Folder that is removed before a run with other settings. Without it, a stage that is killed
    while it begins could later continue the run with the earlier settings."""
    remedies: Mapping[int, Callable[[CreateJob], str]] = field(default_factory=dict)
    """Exit code -> sentences with the options of `imavatar-create` that help, without the last
    period."""
    leftover: Callable[[CreateJob], Path | None] = lambda job: None
    """Folder of an earlier run that failed, which is removed when the stage is done."""
    summary: Callable[[CreateJob, str], list[str]] = lambda job, printed: printed_lines(printed)
    """Lines for the user, from what the command printed."""


def held_out_frames(frames: int) -> int:
    """Number of frames, at the end of the dataset, that training does not use."""
    return max(1, math.floor(HELD_OUT * frames)) if frames > 1 else 0


def _track(job: CreateJob) -> Arguments:
    request = job.request
    return [
        "imavatar-data",
        "track",
        *map(str, request.videos),
        *("--out", str(job.work.dataset)),
        *("--size", str(request.size)),
        *(["--frames", str(request.frames)] if request.frames else []),
        *([OPTION] if request.consent_option else []),
        *request.further("track"),
    ]


def _train(job: CreateJob) -> Arguments:
    frames = job.work.frames()
    plan = job.work.plan
    length = []
    if job.request.steps is not None:
        length = ["--steps", str(job.request.steps)]
    elif plan.get("training") is not None:
        length = ["--minutes", f"{plan['training']:g}"]
    return [
        "imavatar-train",
        str(job.work.dataset),
        *("--out", str(job.work.run)),
        *("--preset", str(plan["preset"])),
        *("--size", str(job.request.training_size)),
        *("--frames", f":{frames - held_out_frames(frames)}"),
        *length,
        *job.request.further("train"),
    ]


def _export(job: CreateJob) -> Arguments:
    return [
        "imavatar-export",
        str(job.work.run),
        *("--format", job.request.formats),
        *("--out", str(job.request.out)),
        *(part for track in job.work.tracks() for part in ("--seen-from", str(track))),
        *_refinement(job),
        *job.request.further("export"),
    ]


def _refinement(job: CreateJob) -> Arguments:
    """Options that refine the student on the frames that training has used."""
    frames = job.work.frames()
    used = frames - held_out_frames(frames)
    no_student = any(option in NO_STUDENT for option in job.request.further("export"))
    if not job.request.refine or no_student or used < REFINED_FRAMES:
        return []
    return ["--refine", str(job.work.dataset), "--refine-frames", f":{used}"]


def _evaluate(job: CreateJob) -> Arguments:
    frames = job.work.frames()
    return [
        "imavatar-eval",
        "measure",
        str(job.request.out),
        *("--data", str(job.work.dataset)),
        *("--out", str(job.work.held_out)),
        *("--frames", f"{frames - held_out_frames(frames)}:"),
        *("--size", str(job.request.training_size)),
        *job.request.further("evaluate"),
    ]


def _preview(job: CreateJob) -> Arguments:
    return [
        "imavatar-run",
        str(job.request.out),
        *("--source", str(job.work.tracks()[0])),
        *("--sink", str(job.work.preview)),
        *("--sink", str(job.work.sheet)),
        *("--size", str(job.request.size)),
        *("--background", "white"),
        "--overwrite",
        *job.request.further("preview"),
    ]


def _withheld(job: CreateJob) -> str:
    """What to do about an avatar that the export withholds."""
    rejected = job.request.rejected
    return (
        f"The withheld avatar is in {rejected}, with pictures of its worst frames; the next run "
        "replaces that folder, and removes it when the avatar is written. Train longer (a larger "
        "--minutes, or --steps where it is given), or write the avatar with its misses: "
        '--export "--allow-drift REASON"'
    )


def _refused(job: CreateJob) -> str:
    """What to do about an input that the export cannot use."""
    return "Where the reason names --refine, --no-refine leaves the refinement out"


def _earlier_rejected(job: CreateJob) -> Path | None:
    rejected = job.request.rejected
    return rejected if (rejected / REJECTED_REPORT).is_file() else None


def _train_settings(job: CreateJob) -> Any:
    request = job.request
    length = [request.minutes, request.preset, request.steps, request.training_size]
    return [*length, request.further("train")]


STAGES = (
    CreateStage(
        name="track",
        task="fit the head model to every frame",
        command=_track,
        outputs=lambda job: job.work.tracks() or [job.work.dataset],
        settings=lambda job: [
            job.request.size,
            job.request.frames,
            job.request.further("track"),
        ],
        partial=lambda job: job.work.dataset,
        resume=(),
        folder=lambda job: job.work.dataset,
    ),
    CreateStage(
        name="train",
        task="train the implicit avatar",
        command=_train,
        outputs=lambda job: [job.work.run / "checkpoint"],
        settings=_train_settings,
        partial=lambda job: job.work.run / "config.toml",
        resume=("--resume",),
        folder=lambda job: job.work.run,
    ),
    CreateStage(
        name="export",
        task="bake the avatar and compare every stage with the implicit one",
        command=_export,
        outputs=lambda job: [job.request.out / MANIFEST],
        settings=lambda job: [
            str(job.request.out.resolve()),
            job.request.formats,
            job.request.refine,
            job.request.further("export"),
        ],
        partial=lambda job: job.request.out / MANIFEST,
        remedies={QualityError.exit_code: _withheld, InputError.exit_code: _refused},
        leftover=_earlier_rejected,
        summary=lambda job, printed: export_lines(job.request.out, job.work),
    ),
    CreateStage(
        name="evaluate",
        task="measure the avatar on frames that training has not used",
        command=_evaluate,
        outputs=lambda job: [job.work.held_out / "report.json"],
        settings=lambda job: job.request.further("evaluate"),
        partial=lambda job: job.work.held_out / "report.json",
        summary=lambda job, printed: evaluation_lines(job.work),
    ),
    CreateStage(
        name="preview",
        task="play the motion of the clip",
        command=_preview,
        outputs=lambda job: [job.work.preview, job.work.sheet],
        settings=lambda job: job.request.further("preview"),
        partial=lambda job: job.work.preview,
        replace=(),
    ),
)
"""In their order. A stage depends on all before it."""
