"""`imavatar-create`: refusals before the first stage, and the commands of the stages."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from click.testing import CliRunner, Result

from imavatar_deploy.consent import OPTION, require_consent
from imavatar_deploy.create.command import _before, _plan, create, expected_frames
from imavatar_deploy.create.options import (
    TRACKED_SIDES,
    TRAINED_SIDES,
    check_formats,
    check_options,
    export_formats,
)
from imavatar_deploy.create.plan import REFINE_MINUTES
from imavatar_deploy.create.stages import (
    REFINED_FRAMES,
    STAGES,
    CreateJob,
    CreateRequest,
    held_out_frames,
)
from imavatar_deploy.create.work import STATE, CreateFolder, StageRecord, fingerprint
from imavatar_deploy.dataset import images
from imavatar_deploy.exporters.formats.table import FORMATS
from imavatar_deploy.exporters.refine.held_out import MIN_FRAMES
from imavatar_deploy.training.tracking import settings


def call(*arguments: object) -> Result:
    return CliRunner().invoke(create, [str(argument) for argument in arguments])


def write_clip(path: Path, frames: int = 10, side: int = 64) -> Path:
    """A grey video."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width = stream.height = side
        stream.pix_fmt = "yuv420p"
        for index in range(frames):
            image = np.full((side, side, 3), index % 256, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "me.mp4")


@pytest.fixture(scope="module")
def listed_formats() -> list[str]:
    """The names that `imavatar-export --list` prints, which takes seconds."""
    return list(export_formats())


@pytest.fixture
def listed_once(listed_formats: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Check names of formats against this one list."""
    monkeypatch.setattr("imavatar_deploy.create.options.export_formats", lambda: listed_formats)


def refused(result: Result, code: int, sentence: str) -> None:
    assert result.exit_code == code, result.output
    assert sentence in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_nothing_is_written_without_consent(clip: Path, tmp_path: Path) -> None:
    refused(call(clip, "--out", tmp_path / "me"), 2, OPTION)
    assert list(tmp_path.iterdir()) == [clip]


def test_consent_is_for_the_video_that_it_was_given_for(clip: Path, tmp_path: Path) -> None:
    work = CreateFolder(tmp_path / "me.work", videos=[fingerprint(clip)])
    work.consent = require_consent([clip], True).as_dict()
    work.path.mkdir()
    work.save()
    refused(call(clip, "--out", tmp_path / "me", "--minutes", 1), 2, "is too short")
    write_clip(clip, frames=20)
    refused(call(clip, "--out", tmp_path / "me", "--minutes", 1), 2, OPTION)


def test_length_of_the_dataset_is_expected_by_the_header(clip: Path) -> None:
    assert expected_frames((clip,)) == 10
    assert expected_frames((clip, clip)) == 20


@pytest.mark.parametrize(
    ("content", "code", "sentence"),
    [
        (None, 6, "does not exist"),
        (b"no video", 6, "is not a video that can be read (invalid data"),
    ],
)
def test_video_that_cannot_be_read_is_told(
    tmp_path: Path, content: bytes | None, code: int, sentence: str
) -> None:
    clip = tmp_path / "me.mp4"
    if content is not None:
        clip.write_bytes(content)
    refused(call(clip, "--out", tmp_path / "me", OPTION), code, sentence)
    assert not (tmp_path / "me.work").exists()


@pytest.mark.parametrize("out", [".", "./", "/", ".."])
def test_out_without_a_name_is_refused(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(call(clip, "--out", out, OPTION), 2, "has no name")
    assert list(tmp_path.iterdir()) == [clip]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--size", 7), "--size must be between 64 and 2048 pixels, got 7"),
        (("--size", 255), "--size must be even"),
        (("--training-size", 7), "--training-size must be between 8 and 4096 pixels, got 7"),
        (("--format", "player,nonsense"), "unknown export format 'nonsense'"),
        (("--format", "player,"), "unknown export format ''"),
        (("--format", "glb"), "pass --format player,glb"),
    ],
)
@pytest.mark.usefixtures("listed_once")
def test_option_that_a_late_stage_would_refuse_is_refused_first(
    clip: Path, tmp_path: Path, options: tuple[str, object], sentence: str
) -> None:
    refused(call(clip, "--out", tmp_path / "me", OPTION, *options), 2, sentence)
    assert list(tmp_path.iterdir()) == [clip]


def test_limits_are_those_of_the_stages(listed_formats: list[str]) -> None:
    assert TRACKED_SIDES == settings.SIZES
    assert TRAINED_SIDES == images.TARGETS
    assert set(listed_formats) == set(FORMATS)


@pytest.mark.usefixtures("listed_once")
@pytest.mark.parametrize("formats", ["player", "onnx", "student", "glb, player"])
def test_formats_that_the_preview_plays_are_taken(formats: str) -> None:
    check_formats(formats)


def test_formats_are_not_checked_against_a_table_that_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("imavatar_deploy.create.options.program", lambda name: sys.executable)
    assert export_formats() == []
    check_formats("player, nonsense")


def test_avatar_of_another_video_is_replaced_only_on_demand(clip: Path, tmp_path: Path) -> None:
    other = write_clip(tmp_path / "you.mp4")
    work = CreateFolder(tmp_path / "me.work", videos=[fingerprint(clip)])
    work.stages["track"] = StageRecord("key", ["imavatar-data", "track"], finished=True)
    work.path.mkdir()
    work.save()
    words = ("--out", tmp_path / "me", OPTION, "--minutes", 1)
    refused(call(other, *words), 2, "me.work is of other videos (me.mp4)")
    assert CreateFolder.open(work.path) == work
    refused(call(other, *words, "--overwrite"), 2, "is too short")
    refused(call(clip, *words), 2, "is too short")


def test_examples_of_the_help_are_one_a_line() -> None:
    lines = call("--help").output.splitlines()
    assert "  Examples:" in lines
    assert f"    imavatar-create me.mp4 --out me {OPTION}" in lines
    assert not [line for line in lines if "\\b" in line]


def test_time_that_is_too_short_is_told_before_the_work(clip: Path, tmp_path: Path) -> None:
    refused(call(clip, "--out", tmp_path / "me", OPTION, "--minutes", 1), 2, "is too short")
    assert not (tmp_path / "me.work").exists()


def test_folder_with_other_things_is_not_replaced(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "me").mkdir()
    (tmp_path / "me" / "diary.txt").touch()
    refused(call(clip, "--out", tmp_path / "me", OPTION), 2, "other things in it")


def test_work_folder_with_other_things_is_not_used(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "me.work").mkdir()
    (tmp_path / "me.work" / "diary.txt").touch()
    refused(call(clip, "--out", tmp_path / "me", OPTION), 2, "other things in it")


def test_avatar_of_another_command_is_not_replaced(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "me").mkdir()
    (tmp_path / "me" / "avatar.json").touch()
    refused(call(clip, "--out", tmp_path / "me", OPTION), 2, "another command wrote it")


def test_options_that_cannot_be_split_are_told(clip: Path, tmp_path: Path) -> None:
    result = call(clip, "--out", tmp_path / "me", OPTION, "--track", "'")
    refused(result, 2, "--track cannot be split")


@pytest.mark.parametrize(
    ("frames", "held_out"), [(1, 0), (2, 1), (9, 1), (10, 1), (100, 10), (137, 13)]
)
def test_last_tenth_is_held_out(frames: int, held_out: int) -> None:
    assert held_out_frames(frames) == held_out


@pytest.fixture
def job(clip: Path, tmp_path: Path) -> CreateJob:
    work = CreateFolder(tmp_path / "me.work", plan={"preset": "tiny", "training": 4.5})
    for name in ("b", "a"):
        (work.dataset / name).mkdir(parents=True)
        track = {"frames": [{"file_path": f"./image/{index}"} for index in range(20)]}
        (work.dataset / name / "flame_params.json").write_text(json.dumps(track))
    options = {"track": ("--focal", "900"), "export": ("--faces", "2000")}
    request = CreateRequest((clip,), tmp_path / "me", options=options, consent_option=True)
    return CreateJob(request, work)


def test_commands_of_the_stages(job: CreateJob) -> None:
    commands = {stage.name: " ".join(stage.command(job)) for stage in STAGES}
    work, out, video = job.work.path, job.request.out, job.request.videos[0]
    assert commands == {
        "track": f"imavatar-data track {video} --out {work}/dataset --size 512 {OPTION} "
        "--focal 900",
        "train": f"imavatar-train {work}/dataset --out {work}/run --preset tiny --size 256 "
        "--frames :36 --minutes 4.5",
        "export": f"imavatar-export {work}/run --format player --out {out} "
        f"--seen-from {work}/dataset/a/flame_params.json "
        f"--seen-from {work}/dataset/b/flame_params.json "
        f"--refine {work}/dataset --refine-frames :36 --faces 2000",
        "evaluate": f"imavatar-eval measure {out} --data {work}/dataset --out {work}/held_out "
        "--frames 36: --size 256",
        "preview": f"imavatar-run {out} --source {work}/dataset/a/flame_params.json "
        f"--sink {work}/preview.mp4 --sink {work}/preview.png --size 512 --background white "
        "--overwrite",
    }


def export_of(job: CreateJob, **changes: Any) -> list[str]:
    """The command of the export, after changes of the request."""
    export = next(stage for stage in STAGES if stage.name == "export")
    return export.command(replace(job, request=replace(job.request, **changes)))


@pytest.mark.parametrize(
    "changes",
    [
        {"refine": False},
        {"options": {"export": ("--no-student",)}},
        {"options": {"export": ("--from-field", "--format", "mesh")}},
    ],
)
def test_export_without_a_refinement(job: CreateJob, changes: dict[str, Any]) -> None:
    assert "--refine" in export_of(job)
    assert not [word for word in export_of(job, **changes) if word.startswith("--refine")]


def test_few_frames_are_not_refined_on(job: CreateJob) -> None:
    """The export would refuse them, after the training."""
    assert REFINED_FRAMES == MIN_FRAMES
    for name, count in (("a", 11), ("b", 0)):
        track = {"frames": [{"file_path": f"./image/{index}"} for index in range(count)]}
        (job.work.dataset / name / "flame_params.json").write_text(json.dumps(track))
    assert export_of(job)[export_of(job).index("--refine-frames") + 1] == ":10"
    track["frames"] = [{"file_path": "./image/0"}] * 10
    (job.work.dataset / "a" / "flame_params.json").write_text(json.dumps(track))
    assert "--refine" not in export_of(job)


def test_a_refinement_changes_the_export_and_its_minutes(job: CreateJob) -> None:
    export = next(stage for stage in STAGES if stage.name == "export")
    other = replace(job, request=replace(job.request, refine=False))
    assert export.settings(job) != export.settings(other)
    minutes = [_plan(each.request, 500).expected["export"] for each in (job, other)]
    assert minutes[0] - minutes[1] == pytest.approx(REFINE_MINUTES)


@pytest.fixture
def tracked(job: CreateJob) -> CreateJob:
    """A job whose tracking has taken three times as long as planned."""
    job.work.stages["track"] = StageRecord("key", ["track"], True, seconds=3 * (6 + 0.12 * 40))
    job.work.plan = {}
    return job


def test_plan_after_slow_tracking_says_what_has_changed(
    tracked: CreateJob, capsys: pytest.CaptureFixture[str]
) -> None:
    request = replace(tracked.request, minutes=12)
    first = _plan(request, 40)
    _before(CreateJob(request, tracked.work), first, STAGES[1], False)
    shown = capsys.readouterr().err
    assert "tracking took 3.0 times as long as planned" in shown
    assert "training has less time" in shown
    assert "preset tiny in place of small" in shown
    assert tracked.work.plan["expected"] == first.expected


def test_steps_have_no_planned_minutes(
    tracked: CreateJob, capsys: pytest.CaptureFixture[str]
) -> None:
    request = replace(tracked.request, steps=4)
    first = _plan(request, 40)
    assert "minutes and the training on two cores" in first.lines()[0]
    _before(CreateJob(request, tracked.work), first, STAGES[1], False)
    assert "train" not in tracked.work.plan["expected"]
    assert "training has less time" not in capsys.readouterr().err


def test_state_is_read_back(job: CreateJob) -> None:
    job.work.consent = {"how": "option"}
    job.work.save()
    assert (job.work.path / STATE).is_file()
    assert CreateFolder.open(job.work.path) == job.work


@pytest.mark.parametrize(
    ("option", "words", "sentence"),
    [
        ("--train", "--sed 3", "--train: No such option '--sed'"),
        ("--train", "--seed three", "'three' is not a valid int"),
        ("--export", "--resolution", "--export: Option '--resolution' requires an argument."),
        ("--export", "--nonsense", "--export: No such option '--nonsense'"),
    ],
)
def test_options_of_later_stages_are_checked_first(
    clip: Path, tmp_path: Path, option: str, words: str, sentence: str
) -> None:
    result = call(clip, "--out", tmp_path / "me", OPTION, "--minutes", 30, option, words)
    refused(result, 2, sentence)
    assert not (tmp_path / "me.work").exists()


def test_options_of_later_stages_that_fit_are_accepted() -> None:
    check_options("--train", ["--seed", "3"])
    check_options("--export", ["--faces", "20000", "--allow-drift", "a reason"])
    check_options("--export", [])


def test_a_video_given_twice_is_refused(clip: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(clip.read_bytes())
    refused(call(clip, clip, "--out", tmp_path / "me", OPTION), 2, f"{clip} is given twice")
    refused(
        call(clip, copy, "--out", tmp_path / "me", OPTION),
        2,
        f"{clip} and {copy} are the same video: leave one out",
    )
    assert not (tmp_path / "me.work").exists()
