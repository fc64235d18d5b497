"""`imavatar-create`: refusals before the first stage, and the commands of the stages."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner, Result

from imavatar_deploy.consent import OPTION
from imavatar_deploy.create.command import create, expected_frames
from imavatar_deploy.create.stages import STAGES, Job, Request, held_out_frames
from imavatar_deploy.create.work import STATE, WorkFolder


def call(*arguments: object) -> Result:
    return CliRunner().invoke(create, [str(argument) for argument in arguments])


def write_clip(path: Path, frames: int = 10, side: int = 32) -> Path:
    """A grey video."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width = stream.height = side
        stream.pix_fmt = "yuv420p"
        for index in range(frames):
            image = np.full((side, side, 3), index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "me.mp4")


def refused(result: Result, code: int, sentence: str) -> None:
    assert result.exit_code == code, result.output
    assert sentence in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_nothing_is_written_without_consent(clip: Path, tmp_path: Path) -> None:
    refused(call(clip, "--out", tmp_path / "me"), 2, OPTION)
    assert list(tmp_path.iterdir()) == [clip]


def test_length_of_the_dataset_is_expected_by_the_header(clip: Path) -> None:
    assert expected_frames((clip,)) == 10
    assert expected_frames((clip, clip)) == 20


@pytest.mark.parametrize(
    ("content", "code", "sentence"),
    [(None, 6, "does not exist"), (b"no video", 6, "cannot be read as a video")],
)
def test_video_that_cannot_be_read_is_told(
    tmp_path: Path, content: bytes | None, code: int, sentence: str
) -> None:
    clip = tmp_path / "me.mp4"
    if content is not None:
        clip.write_bytes(content)
    refused(call(clip, "--out", tmp_path / "me", OPTION), code, sentence)
    assert not (tmp_path / "me.work").exists()


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
def job(clip: Path, tmp_path: Path) -> Job:
    work = WorkFolder(tmp_path / "me.work", plan={"preset": "tiny", "training": 4.5})
    for name in ("b", "a"):
        (work.dataset / name).mkdir(parents=True)
        track = {"frames": [{"file_path": f"./image/{index}"} for index in range(20)]}
        (work.dataset / name / "flame_params.json").write_text(json.dumps(track))
    options = {"track": ("--focal", "900"), "export": ("--faces", "2000")}
    request = Request((clip,), tmp_path / "me", options=options, consent_option=True)
    return Job(request, work)


def test_commands_of_the_stages(job: Job) -> None:
    commands = {stage.name: " ".join(stage.command(job)) for stage in STAGES}
    work, out, video = job.work.path, job.request.out, job.request.videos[0]
    assert commands == {
        "track": f"imavatar-data track {video} --out {work}/dataset --size 512 {OPTION} "
        "--focal 900",
        "train": f"imavatar-train {work}/dataset --out {work}/run --preset tiny --size 256 "
        "--frames :36 --minutes 4.5",
        "export": f"imavatar-export {work}/run --format player --out {out} --faces 2000",
        "evaluate": f"imavatar-eval measure {out} --data {work}/dataset --out {work}/held_out "
        "--frames 36: --size 256",
        "preview": f"imavatar-run {out} --source {work}/dataset/a/flame_params.json "
        f"--sink {work}/preview.mp4 --sink {work}/preview.png --size 512 --background white",
    }


def test_state_is_read_back(job: Job) -> None:
    job.work.consent = {"how": "option"}
    job.work.save()
    assert (job.work.path / STATE).is_file()
    assert WorkFolder.open(job.work.path) == job.work
