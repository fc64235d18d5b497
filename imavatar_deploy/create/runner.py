"""Run the stages, each as the command that is displayed; finished stages are skipped."""

from __future__ import annotations

import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from imavatar_deploy.cli.command import INTERRUPT_EXIT_CODE, SIGNAL_EXIT_BASE, Terminated
from imavatar_deploy.errors import ImavatarError, MissingDependencyError
from imavatar_deploy.progress import Say

from .stages import CreateJob, CreateStage
from .work import StageRecord, chained, fingerprint

PATIENCE = 30.0
"""Seconds in which an interrupted stage saves its work before it is killed."""

RUN_NOTICE = "the next run of the same command continues here"


class StageError(ImavatarError):
    """A stage that failed; its own message is on stderr, and its exit code becomes ours."""

    def __init__(
        self, job: CreateJob, stage: CreateStage, code: int, command: Sequence[str]
    ) -> None:
        remedy = f"{stage.remedies[code](job)}. " if code in stage.remedies else ""
        super().__init__(
            f"the stage {stage.name} ended with exit code {code}, its reason is above; "
            f"after a correction {RUN_NOTICE}. {remedy}It was: {shlex.join(command)}"
        )
        self.exit_code = code


def run_stages(
    job: CreateJob,
    stages: Sequence[CreateStage],
    say: Say,
    before: Callable[[CreateStage, bool], None] = lambda stage, resumed: None,
) -> None:
    """Run every stage that is not finished for the inputs of the job.

    Args:
        job: the request and its work folder, whose state is written before and after each stage.
            What a stage prints on the standard output is written to its log there.
        say: receives lines for the user, the summary of every stage among them.
        before: called before a stage that runs, with whether it continues an earlier run.

    Raises:
        StageError: a stage failed.
        MissingDependencyError: a command is not installed.
    """
    work = job.work
    videos = [fingerprint(video) for video in job.request.videos]
    keys = chained(
        [stage.name for stage in stages], [[videos, stage.settings(job)] for stage in stages]
    )
    for number, stage in enumerate(stages, start=1):
        title = f"[{number}/{len(stages)}] {stage.name}"
        if is_finished(job, stage, keys[stage.name]):
            say(f"{title}: done before ({work.stages[stage.name].seconds / 60:.1f} min)")
            continue
        resumed = _is_interrupted(job, stage, keys[stage.name])
        before(stage, resumed)
        record = _begin(job, stage, keys[stage.name], resumed)
        for later in stages[number:]:  # they depend on this one
            if later.name in work.stages:
                work.stages[later.name].finished = False
        work.save()
        say(f"{title}: to {stage.task}\n$ {shlex.join(record.command)}")
        log = work.log(stage.name)
        start = time.monotonic()
        try:
            code = run_command(record.command, log)
        finally:
            record.seconds = round(record.seconds + time.monotonic() - start, 1)
            work.save()
        printed = log.read_text(encoding="utf-8", errors="replace")
        if code:
            for line in printed.splitlines():
                say(line)
            raise StageError(job, stage, code, record.command)
        record.finished = True
        work.save()
        for line in stage.summary(job, printed):
            say(line)
        _remove_leftover(job, stage, say)
        say(f"{title}: {record.seconds / 60:.1f} min")


def _remove_leftover(job: CreateJob, stage: CreateStage, say: Say) -> None:
    """Remove the folder that a failed run of a stage has left, now that the stage is done."""
    leftover = stage.leftover(job)
    if leftover is not None:
        shutil.rmtree(leftover, ignore_errors=True)
        say(f"removed {leftover} of an earlier run")


def is_finished(job: CreateJob, stage: CreateStage, key: str) -> bool:
    """Whether a stage is done for the same inputs, and its outputs are still there."""
    record = job.work.stages.get(stage.name)
    return (
        record is not None
        and record.finished
        and record.key == key
        and all(output.exists() for output in stage.outputs(job))
    )


def _is_interrupted(job: CreateJob, stage: CreateStage, key: str) -> bool:
    """Whether an earlier run of a stage, for the same inputs, did not come to its end."""
    record = job.work.stages.get(stage.name)
    return record is not None and record.key == key and not record.finished


def _begin(job: CreateJob, stage: CreateStage, key: str, resumed: bool) -> StageRecord:
    """A new record of a stage, with the command that continues or replaces what is there."""
    if stage.folder is not None and not resumed and stage.folder(job).exists():
        shutil.rmtree(stage.folder(job))
    command = stage.command(job)
    if stage.partial(job).exists():
        command += stage.resume if resumed and stage.resume is not None else stage.replace
    seconds = job.work.stages[stage.name].seconds if resumed else 0.0
    job.work.stages[stage.name] = StageRecord(key, command, seconds=seconds)
    return job.work.stages[stage.name]


def run_command(command: Sequence[str], log: Path) -> int:
    """Run a command of this package with our standard error and return its exit code.

    It has a session of its own, so that an interruption reaches it once, from here, and in time
    to save its work.

    Args:
        command: the program and its arguments.
        log: file that receives the standard output.

    Raises:
        MissingDependencyError: the command is not installed.
        KeyboardInterrupt: this process was interrupted; the command has ended.
    """
    words = [program(command[0]), *command[1:]]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=output, start_new_session=True
        )
    try:
        code = process.wait()
    except KeyboardInterrupt as stop:
        _end(process, stop.args[0] if isinstance(stop, Terminated) else signal.SIGINT)
        raise
    except BaseException:
        _end(process, signal.SIGTERM)
        raise
    if code == INTERRUPT_EXIT_CODE:
        raise KeyboardInterrupt
    return SIGNAL_EXIT_BASE - code if code < 0 else code


def _end(process: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal to a process and wait for its end.

    Kill it where it does not come, or when a second interruption comes first.
    """
    with suppress(OSError, ValueError):  # it has ended, or the system knows no such signal
        process.send_signal(number)
    try:
        process.wait(PATIENCE)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        process.kill()
        process.wait(PATIENCE)


def program(name: str) -> str:
    """Path of a command of this package: of the same environment, else of the search path.

    Raises:
        MissingDependencyError: it is not installed.
    """
    own = shutil.which(name, path=str(Path(sys.executable).parent))
    if path := own or shutil.which(name):
        return path
    raise MissingDependencyError(
        f"the command {name} is not installed beside {sys.executable}: pip install imavatar-deploy"
    )
