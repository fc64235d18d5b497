"""The whole path at a small size, networks to frames, and invalid input at every step."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from imavatar_deploy.avatar_io import ARRAYS, open_avatar
from imavatar_deploy.errors import UsageError
from imavatar_deploy.exporters.commands.export import export
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.model import ImplicitAvatar, NetworkSizes, save_checkpoint
from imavatar_deploy.runtime import Player
from imavatar_deploy.runtime.bench.command import bench
from imavatar_deploy.runtime.commands.run import run
from imavatar_deploy.runtime.commands.verify import verify
from imavatar_deploy.tracks import read_track

pytestmark = pytest.mark.slow

SMALL = NetworkSizes(
    geometry_layers=(64,) * 8, deformation_layers=(32,) * 4, texture_layers=(64,) * 4
)


def call(command: Any, *arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def assert_refused(result: Result, exit_code: int, sentence: str) -> None:
    """Check for one sentence on stderr, the exit code and no traceback."""
    assert result.exit_code == exit_code, result.output
    assert isinstance(result.exception, SystemExit)
    assert sentence in result.stderr
    assert (
        len(result.stderr.strip().splitlines()) <= 3
    )  # click's usage errors come with two lines of usage


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained avatar: a ball with OpenHead's bones."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("networks") / "checkpoint"
    save_checkpoint(ImplicitAvatar(HeadModel.load("openhead"), SMALL), folder)
    return folder


@pytest.fixture(scope="module")
def avatar(checkpoint: Path) -> Path:
    """Its export; the student is trained briefly, because nothing here judges its colours."""
    out = checkpoint.parent / "avatar"
    size = ["--resolution", 64, "--faces", 2000, "--student-steps", 100, "--proof-size", 32]
    words = [checkpoint, "--format", "onnx", "--out", out, *size, "--allow-drift", "small"]
    result = call(export, *words)
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture
def track(tmp_path: Path) -> dict[str, Any]:
    """Three frames in the published schema."""
    zeros = {"expression": [0.0] * 50, "pose": [0.0] * 15, "world_mat": np.eye(4)[:3].tolist()}
    frames = [{"file_path": f"./image/{i + 1}"} | zeros for i in range(3)]
    return {"frames": frames, "intrinsics": [-3.0, 3.0, 0.5, 0.5], "shape_params": [0.0] * 100}


def write(track: dict[str, Any], path: Path) -> Path:
    path.write_text(json.dumps(track), encoding="utf-8")
    return path


def test_exported_avatar_is_verified(avatar: Path) -> None:
    result = call(verify, avatar)
    assert result.exit_code == 0, result.output
    assert 1000 < len(open_avatar(avatar).avatar.faces) <= 2000


def test_it_plays_into_every_sink_at_once(avatar: Path, tmp_path: Path) -> None:
    sinks = [tmp_path / "talk.mp4", tmp_path / "%05d.png", tmp_path / "contact_sheet.png", "null"]
    flags = [flag for sink in sinks for flag in ("--sink", sink)]
    result = call(run, avatar, "--source", "talk", "--frames", "0:30:5", "--size", 64, *flags)
    assert result.exit_code == 0, result.output
    frames = sorted(tmp_path.glob("0*.png"))
    assert len(frames) == 6
    pictures = [cv2.imread(str(frame), cv2.IMREAD_UNCHANGED) for frame in frames]
    assert all(0.02 < (picture[..., 3] > 0).mean() < 0.9 for picture in pictures)
    assert (pictures[0] != pictures[-1]).any(), "the head moves"
    assert (tmp_path / "talk.mp4").stat().st_size > 500
    assert cv2.imread(str(sinks[2])).shape[1] >= 3 * 64
    assert not list(tmp_path.glob(".*"))


def test_bench_says_what_it_measured(avatar: Path, tmp_path: Path) -> None:
    out = tmp_path / "latency.json"
    result = call(bench, avatar, "--size", 64, "--frames", 5, "--json", out)
    assert result.exit_code == 0, result.output
    assert json.loads(out.read_text(encoding="utf-8"))


class TestGarbage:
    """An error gives one sentence and the right exit code, and leaves no partial output."""

    @pytest.mark.parametrize("spoil", ["truncated", "not a checkpoint", "foreign class"])
    def test_checkpoint(self, spoil: str, tmp_path: Path) -> None:
        path = tmp_path / "latest.pth"
        torch.save(
            {"epoch": 1, "model_state_dict": {}} if spoil != "foreign class" else {"epoch": SMALL},
            path,
        )
        if spoil == "truncated":
            path.write_bytes(path.read_bytes()[:200])
        result = call(export, path, "--format", "onnx", "--out", tmp_path / "avatar")
        assert_refused(result, 6, "latest.pth")
        assert [entry.name for entry in tmp_path.iterdir()] == ["latest.pth"]

    def test_unknown_format(self, checkpoint: Path, tmp_path: Path) -> None:
        result = call(export, checkpoint, "--format", "onyx", "--out", tmp_path / "avatar")
        assert_refused(result, 2, "did you mean 'onnx'?")
        assert not list(tmp_path.iterdir())

    def test_output_that_cannot_be_written(self, checkpoint: Path, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        result = call(export, checkpoint, "--format", "onnx", "--out", tmp_path / "file" / "avatar")
        assert_refused(result, 2, "cannot be written")

    def test_video_that_cannot_be_written(self, avatar: Path, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        result = call(run, avatar, "--source", "talk", "--sink", tmp_path / "file" / "talk.mp4")
        assert_refused(result, 2, "cannot be written")

    def test_49_expressions(self, avatar: Path, track: dict[str, Any], tmp_path: Path) -> None:
        track["frames"][1]["expression"] = [0.0] * 49
        source = write(track, tmp_path / "flame_params.json")
        assert_refused(
            call(run, avatar, "--source", source, "--sink", tmp_path / "talk.mp4"), 6, "49"
        )
        assert [entry.name for entry in tmp_path.iterdir()] == ["flame_params.json"]

    def test_nan_in_the_pose(self, avatar: Path, track: dict[str, Any], tmp_path: Path) -> None:
        track["frames"][2]["pose"][7] = float("nan")
        source = write(track, tmp_path / "flame_params.json")
        assert_refused(
            call(run, avatar, "--source", source, "--sink", tmp_path / "talk.mp4"), 6, "finite"
        )

    def test_track_of_another_head_model(
        self, avatar: Path, track: dict[str, Any], tmp_path: Path
    ) -> None:
        source = write(track | {"head_model": "flame2020"}, tmp_path / "flame_params.json")
        assert_refused(call(run, avatar, "--source", source, "--sink", "null"), 6, "--any-edition")
        result = call(
            run, avatar, "--source", source, "--sink", "null", "--size", 32, "--any-edition"
        )
        assert result.exit_code == 0, result.output

    @pytest.mark.parametrize("command", [verify, run])
    def test_one_flipped_bit(self, command: Any, avatar: Path, tmp_path: Path) -> None:
        folder = shutil.copytree(avatar, tmp_path / "avatar")
        data = bytearray((folder / ARRAYS).read_bytes())
        data[len(data) // 2] ^= 1
        (folder / ARRAYS).write_bytes(data)
        arguments = ["--source", "talk", "--sink", tmp_path / "talk.mp4"] if command is run else []
        assert_refused(call(command, folder, *arguments), 6, "was changed or damaged")
        assert not (tmp_path / "talk.mp4").exists()

    def test_two_sinks_to_one_file(self, avatar: Path, tmp_path: Path) -> None:
        sinks = ["--sink", tmp_path / "talk.mp4", "--sink", f"{tmp_path}/./talk.mp4"]
        assert_refused(call(run, avatar, "--source", "talk", *sinks), 2, "two sinks would write to")

    def test_camera_without_a_rotation(
        self, avatar: Path, track: dict[str, Any], tmp_path: Path
    ) -> None:
        track["frames"][0]["world_mat"] = np.zeros((3, 4)).tolist()
        source = write(track, tmp_path / "flame_params.json")
        assert_refused(
            call(run, avatar, "--source", source, "--sink", "null"), 6, "must begin with a rotation"
        )

    def test_closed_player_says_so(self, avatar: Path) -> None:
        with Player(avatar, size=16) as player:
            pass
        with pytest.raises(UsageError, match="this player is closed"):
            player.render(np.zeros(50), np.zeros(15))

    @pytest.mark.parametrize("size", ["64", 6.5, None, (3, 4, 5), 0])
    def test_size_that_is_none(self, avatar: Path, size: Any) -> None:
        with pytest.raises(UsageError, match="size must be"):
            Player(avatar, size=size)

    def test_unknown_sink(self, avatar: Path, tmp_path: Path) -> None:
        assert_refused(
            call(run, avatar, "--source", "talk", "--sink", tmp_path / "talk.mkv"), 2, "talk.mkv"
        )


def test_talk_track_fits_the_sample() -> None:
    assert read_track("talk").edition == open_avatar("sample").avatar.edition
