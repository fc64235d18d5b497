"""Stages as subprocesses: order, skipping, resuming, failure and interruption."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from imavatar_deploy.create.runner import StageError, program, run_command, run_stages
from imavatar_deploy.create.stages import (
    REJECTED_REPORT,
    STAGES,
    CreateJob,
    CreateRequest,
    CreateStage,
)
from imavatar_deploy.create.work import CreateFolder
from imavatar_deploy.errors import InputError, MissingDependencyError
from imavatar_deploy.exporters import withhold

from ..processes import started

LOG = """
import sys, json, pathlib
out = pathlib.Path(sys.argv[1])
print("a table of many lines\\ntook 0.1 s\\nnext: another command")
with open(out.parent / "log", "a") as log:
    log.write(json.dumps(sys.argv[2:]) + "\\n")
if "--fail" in sys.argv and "--resume" not in sys.argv:
    out.with_suffix(".partial").touch()
    sys.exit(3)
out.touch()
"""


def stage(name: str, *arguments: str, resume: tuple[str, ...] | None = None) -> CreateStage:
    """A stage that logs its arguments and writes a file."""
    return CreateStage(
        name=name,
        task="write a file",
        command=lambda job: [
            sys.executable,
            *("-c", LOG),
            str(job.work.path / f"{name}.done"),
            name,
            *arguments,
        ],
        outputs=lambda job: [job.work.path / f"{name}.done"],
        settings=lambda job: job.request.size,
        partial=lambda job: next(job.work.path.glob(f"{name}.*"), job.work.path / "none"),
        resume=resume,
    )


@pytest.fixture
def job(tmp_path: Path) -> CreateJob:
    video = tmp_path / "me.mp4"
    video.write_bytes(b"film")
    work = CreateFolder(tmp_path / "me.work")
    work.path.mkdir()
    return CreateJob(CreateRequest((video,), tmp_path / "me"), work)


def calls(job: CreateJob) -> list[list[str]]:
    """Arguments of every command that ran."""
    return [json.loads(line) for line in (job.work.path / "log").read_text().splitlines()]


def again(job: CreateJob, **changes: object) -> CreateJob:
    """The job as another process finds it."""
    return CreateJob(replace(job.request, **changes), CreateFolder.open(job.work.path))  # type: ignore[arg-type]


def test_stages_run_in_order_and_are_displayed(job: CreateJob) -> None:
    lines: list[str] = []
    run_stages(job, [stage("one"), stage("two")], lines.append)
    assert calls(job) == [["one"], ["two"]]
    assert any(line.startswith("[1/2] one: to write a file\n$ ") for line in lines)
    records = CreateFolder.open(job.work.path).stages
    assert [(name, record.finished) for name, record in records.items()] == [
        ("one", True),
        ("two", True),
    ]


def test_finished_stages_are_skipped(job: CreateJob) -> None:
    stages = [stage("one"), stage("two")]
    run_stages(job, stages, print)
    lines: list[str] = []
    run_stages(again(job), stages, lines.append)
    assert calls(job) == [["one"], ["two"]]
    assert all("done before" in line for line in lines)


def test_missing_output_is_made_again_with_all_that_follows(job: CreateJob) -> None:
    stages = [stage("one"), stage("two")]
    run_stages(job, stages, print)
    (job.work.path / "one.done").unlink()
    run_stages(again(job), stages, print)
    assert calls(job)[2:] == [["one"], ["two", "--overwrite"]]


def test_other_settings_replace_the_results(job: CreateJob) -> None:
    stages = [stage("one"), stage("two")]
    run_stages(job, stages, print)
    run_stages(again(job, size=64), stages, print)
    assert calls(job)[2:] == [["one", "--overwrite"], ["two", "--overwrite"]]


def test_changed_video_replaces_the_results(job: CreateJob) -> None:
    stages = [stage("one")]
    run_stages(job, stages, print)
    job.request.videos[0].write_bytes(b"another film")
    run_stages(again(job), stages, print)
    assert calls(job)[1:] == [["one", "--overwrite"]]


def test_failure_passes_its_exit_code_on(job: CreateJob) -> None:
    stages = [stage("one"), stage("two", "--fail"), stage("three")]
    with pytest.raises(StageError, match="the stage two ended with exit code 3") as failure:
        run_stages(job, stages, print)
    assert failure.value.exit_code == 3
    assert [call[0] for call in calls(job)] == ["one", "two"]


def test_failure_advises_by_the_options_of_this_command(job: CreateJob) -> None:
    export = next(stage for stage in STAGES if stage.name == "export")
    failing = replace(stage("export", "--fail"), remedies=export.remedies)
    with pytest.raises(StageError, match=r'a larger --minutes.*--export "--allow-drift REASON"\. '):
        run_stages(job, [failing], print)


def test_a_refused_input_advises_to_leave_the_refinement_out(job: CreateJob) -> None:
    export = next(stage for stage in STAGES if stage.name == "export")
    error = StageError(job, export, InputError.exit_code, ["imavatar-export"])
    assert "--no-refine leaves the refinement out. It was: imavatar-export" in str(error)


def test_withheld_avatar_is_located_in_the_message(job: CreateJob) -> None:
    export = next(stage for stage in STAGES if stage.name == "export")
    failing = replace(stage("export", "--fail"), remedies=export.remedies)
    with pytest.raises(
        StageError, match=r"The withheld avatar is in .*me\.rejected.*the next run replaces"
    ):
        run_stages(job, [failing], print)


def test_withheld_avatar_is_removed_by_a_later_success(job: CreateJob) -> None:
    assert REJECTED_REPORT == withhold.REPORT
    export = next(stage for stage in STAGES if stage.name == "export")
    rejected = job.request.rejected
    rejected.mkdir()
    (rejected / REJECTED_REPORT).touch()
    first = replace(stage("one", "--fail"), leftover=export.leftover)
    with pytest.raises(StageError):
        run_stages(job, [first], print)
    assert rejected.is_dir()
    lines: list[str] = []
    run_stages(again(job), [replace(stage("two"), leftover=export.leftover)], lines.append)
    assert not rejected.exists()
    assert f"removed {rejected} of an earlier run" in lines


def test_folder_that_is_not_a_withheld_avatar_stays(job: CreateJob) -> None:
    export = next(stage for stage in STAGES if stage.name == "export")
    job.request.rejected.mkdir()
    run_stages(job, [replace(stage("one"), leftover=export.leftover)], print)
    assert job.request.rejected.is_dir()


def test_output_of_a_stage_is_in_its_log_and_its_summary_is_displayed(job: CreateJob) -> None:
    lines: list[str] = []
    short = replace(stage("two"), summary=lambda job, printed: [f"{len(printed)} characters"])
    run_stages(job, [stage("one"), short], lines.append)
    printed = "a table of many lines\ntook 0.1 s\nnext: another command\n"
    assert job.work.log("one").read_text() == job.work.log("two").read_text() == printed
    assert lines.count("a table of many lines") == 1
    assert f"{len(printed)} characters" in lines
    assert not [line for line in lines if line.startswith(("took", "next"))]


def test_output_of_a_failed_stage_is_displayed(job: CreateJob) -> None:
    lines: list[str] = []
    with pytest.raises(StageError):
        run_stages(job, [stage("one", "--fail")], lines.append)
    assert "a table of many lines" in lines


def test_failed_stage_is_continued_with_its_own_option(job: CreateJob) -> None:
    stages = [stage("one"), stage("two", "--fail", resume=("--resume",))]
    resumed: list[tuple[str, bool]] = []
    for _ in range(2):
        with suppress(StageError):
            run_stages(
                again(job), stages, print, lambda stage, again: resumed.append((stage.name, again))
            )
    assert calls(job) == [["one"], ["two", "--fail"], ["two", "--fail", "--resume"]]
    assert resumed == [("one", False), ("two", False), ("two", True)]


def test_failed_stage_that_cannot_be_continued_is_replaced(job: CreateJob) -> None:
    for _ in range(2):
        with pytest.raises(StageError):
            run_stages(again(job), [stage("one", "--fail")], print)
    assert calls(job)[1] == ["one", "--fail", "--overwrite"]


def test_failed_stage_with_other_settings_is_replaced(job: CreateJob) -> None:
    stages = [stage("one", "--fail", resume=("--resume",))]
    for size in (64, 128):
        with pytest.raises(StageError):
            run_stages(again(job, size=size), stages, print)
    assert calls(job)[1] == ["one", "--fail", "--overwrite"]


def test_folder_of_other_settings_is_removed_before_the_stage(job: CreateJob) -> None:
    folder = job.work.path / "one.folder"
    first = replace(
        stage("one", "--fail", resume=("--resume",)),
        folder=lambda job: folder,
        partial=lambda job: folder / "state",
    )
    folder.mkdir()
    (folder / "state").touch()
    with pytest.raises(StageError):
        run_stages(job, [first], print)
    assert not folder.exists()
    folder.mkdir()
    (folder / "state").touch()
    run_stages(again(job), [first], print)
    assert calls(job) == [["one", "--fail"], ["one", "--fail", "--resume"]]


def test_damaged_state_is_told(job: CreateJob) -> None:
    (job.work.path / "create.json").write_text("{")
    with pytest.raises(InputError, match="is not the state of an earlier imavatar-create"):
        CreateFolder.open(job.work.path)


def test_missing_program_is_told() -> None:
    with pytest.raises(MissingDependencyError, match="imavatar-nothing is not installed"):
        program("imavatar-nothing")


def test_killed_command_has_the_exit_code_of_shells(tmp_path: Path) -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert run_command([sys.executable, "-c", code], tmp_path / "log") == 128 + signal.SIGKILL


CHILD = """
import pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[1])
count = 0
def stop(number, frame):
    global count
    count += 1
    (folder / "signals").write_text(f"{number} {count}")
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, stop)
(folder / "ready").touch()
while not count:
    time.sleep(0.02)
time.sleep(0.5)
(folder / "saved").touch()
sys.exit(130)
"""

PARENT = f"""
import pathlib
import sys
import click
from imavatar_deploy.cli.command import Command
from imavatar_deploy.create.runner import run_command

@click.command(cls=Command)
@click.argument("folder")
def main(folder):
    run_command([sys.executable, "-c", {CHILD!r}, folder], pathlib.Path(folder) / "log")

main()
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interruption_reaches_the_command_once_and_is_waited_for(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    with started([sys.executable, "-c", PARENT, str(tmp_path)], limit=60) as child:
        deadline = time.monotonic() + 30
        while not (tmp_path / "ready").exists():
            assert time.monotonic() < deadline, child.stderr()
            time.sleep(0.02)
        child.process.send_signal(number)
        result: subprocess.CompletedProcess[str] = child.finish()
    assert result.returncode == code, result.stderr
    assert (tmp_path / "saved").exists()
    assert (tmp_path / "signals").read_text() == f"{int(number)} 1"


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_second_interruption_kills_the_command(tmp_path: Path) -> None:
    parent = PARENT.replace("time.sleep(0.5)", "time.sleep(50)")
    assert parent != PARENT
    with started([sys.executable, "-c", parent, str(tmp_path)], limit=60) as child:
        for file in ("ready", "signals"):
            deadline = time.monotonic() + 30
            while not (tmp_path / file).exists():
                assert time.monotonic() < deadline, child.stderr()
                time.sleep(0.02)
            child.process.send_signal(signal.SIGINT)
        result: subprocess.CompletedProcess[str] = child.finish()
        assert child.family() == []
    assert result.returncode == 130, result.stderr
    assert not (tmp_path / "saved").exists()
