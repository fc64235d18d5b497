"""No command overwrites its input: an output that is an input is refused, links included."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

from imavatar_deploy.atomic import ensure_not_input
from imavatar_deploy.errors import UsageError
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.tracks import FlameTrack, write_track

from .commands import all_commands
from .exporters.test_sequences import tree
from .training.drawn_video import write_video
from .training.second_heads import write_head

TRACK = FlameTrack(np.zeros((2, 50)), np.zeros((2, 15)), edition="openhead")


@pytest.fixture(scope="module")
def commands() -> dict[str, click.Command]:
    return all_commands()


def track(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_track(TRACK, path)


def head(path: Path) -> None:
    write_head(path, HeadModel.load("openhead"))


def links(path: Path) -> None:
    track(path)
    Path("soft.json").symlink_to(path)
    os.link(path, "hard.json")


def run_folder(path: Path) -> None:
    path.mkdir()
    (path / "config.toml").write_text("")
    (path / "checkpoint").mkdir()
    (path / "checkpoint" / "checkpoint.json").write_text("{}")


def run_with_data(path: Path) -> None:
    run_folder(path)
    video(path / "data")


def video(path: Path) -> None:
    write_video(path, HeadModel.load("openhead"), 2)


def report(path: Path) -> None:
    (path / "frames").mkdir(parents=True)
    (path / "report.json").write_text("{}")


def exported(path: Path) -> None:
    run_folder(path)
    (path / "avatar.json").write_text("{}")
    track(path / "track.json")


def clip(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"a film")


Make = Callable[[Path], object]
CASES: dict[str, tuple[Make, str, str]] = {
    "convert": (track, "me.json", "imavatar-data convert me.json me.json"),
    "convert, another path": (track, "me.json", "imavatar-data convert me.json nowhere/../me.json"),
    "convert, symbolic link": (links, "me.json", "imavatar-data convert me.json soft.json"),
    "convert, from a link": (links, "me.json", "imavatar-data convert soft.json me.json"),
    "convert, hard link": (links, "me.json", "imavatar-data convert me.json hard.json"),
    "convert, folder": (
        track,
        "me/flame_params.json",
        "imavatar-data convert me me/flame_params.json",
    ),
    "convert, frames": (track, "me/1.npz", "imavatar-data convert me me/1.npz"),
    "convert, head": (
        head,
        "h.npz",
        "imavatar-data convert talk h.npz --turn-head --head-model h.npz",
    ),
    "convert, map": (clip, "map.npz", "imavatar-data convert talk map.npz --map map.npz"),
    "fit-map, source": (
        head,
        "h.npz",
        "imavatar-data fit-map --from h.npz --to openhead --out h.npz",
    ),
    "fit-map, target": (
        head,
        "h.npz",
        "imavatar-data fit-map --from openhead --to h.npz --out h.npz",
    ),
    "fit-map, pair": (track, "b.npz", "imavatar-data fit-map --pair a.csv b.npz --out b.npz"),
    "track": (
        clip,
        "me/clip.mp4",
        "imavatar-data track me/clip.mp4 --out me --i-may-use-this-face --overwrite",
    ),
    "track, shape": (
        track,
        "me/track.json",
        "imavatar-data track clip.mp4 --out me --shape-from me --i-may-use-this-face --overwrite",
    ),
    "check": (video, "data", "imavatar-data check data --size 16 --preview data/image/1.png"),
    "train, weights": (run_folder, "run", "imavatar-train data --from run --out run --overwrite"),
    "train, checkpoint": (
        run_folder,
        "run",
        "imavatar-train data --from run/checkpoint --out run --overwrite",
    ),
    "train, data": (run_with_data, "run", "imavatar-train run/data --out run --overwrite"),
    "eval": (
        report,
        "report",
        "imavatar-eval --pred report/frames --data data --out report --overwrite",
    ),
    "export": (exported, "out", "imavatar-export out/checkpoint --out out --overwrite"),
    "export, motion": (
        exported,
        "out",
        "imavatar-export sample --track out/track.json --out out --overwrite",
    ),
    "bake": (
        exported,
        "out",
        "imavatar-bake sample --track out/track.json --format obj --out out --overwrite",
    ),
    "create": (
        clip,
        "me/clip.mp4",
        "imavatar-create me/clip.mp4 --out me --i-may-use-this-face --overwrite",
    ),
    "bench": (exported, "out", "imavatar-bench out --json out/avatar.json"),
    "bench, Markdown": (exported, "out", "imavatar-bench out --md out/avatar.json"),
    "run": (
        clip,
        "clip.mp4",
        "imavatar-run sample --source video:clip.mp4 --sink clip.mp4",
    ),
}
"""(input, its place, command line that would overwrite it)."""


def snapshot(path: Path) -> object:
    return tree(path) if path.is_dir() else path.read_bytes()


@pytest.mark.parametrize("name", CASES)
def test_an_output_that_is_read_is_refused(
    commands: dict[str, click.Command], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, place, line = CASES[name]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nowhere").mkdir()
    make(Path(place))
    before = snapshot(Path(place))
    program, *arguments = line.split()
    result = CliRunner().invoke(commands[program], arguments)
    assert result.exit_code == 2, result.output
    assert "read here" in result.stderr
    assert result.stderr.count("\n") == 1
    assert snapshot(Path(place)) == before


def test_a_folder_that_holds_an_input_is_not_replaced(tmp_path: Path) -> None:
    run_folder(tmp_path / "run")
    (tmp_path / "link").symlink_to(tmp_path / "run")
    for out in (tmp_path / "run", tmp_path / "link", tmp_path / "run" / "..", tmp_path):
        with pytest.raises(UsageError, match="holds .*checkpoint.json, which is read here"):
            ensure_not_input(out, tmp_path / "run" / "checkpoint" / "checkpoint.json")
    ensure_not_input(tmp_path / "run" / "report", tmp_path / "run")
    ensure_not_input(tmp_path / "other", tmp_path / "run", None, "nowhere")


@pytest.mark.parametrize("word", ["openhead", "presets", "sample", "talk"])
def test_the_word_for_a_bundled_input_is_no_path(
    word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(word).mkdir()
    ensure_not_input(Path(word), word)


def test_a_conversion_says_what_a_track_does_not_hold(
    commands: dict[str, click.Command], tmp_path: Path
) -> None:
    track(tmp_path / "me.json")
    document = json.loads((tmp_path / "me.json").read_text())
    document["comment"] = "mine"
    for frame in document["frames"]:
        frame |= {"bbox": [0, 0, 1, 1], "flame_keypoints": [[0.0, 0.0]]}
    (tmp_path / "me.json").write_text(json.dumps(document))
    for out in ("again.json", "again.npz"):
        result = CliRunner().invoke(
            commands["imavatar-data convert"], [str(tmp_path / "me.json"), str(tmp_path / out)]
        )
        assert result.exit_code == 0, result.output
        assert (
            "note: a track does not hold bbox, comment, flame_keypoints: left out" in result.stderr
        )
    result = CliRunner().invoke(
        commands["imavatar-data convert"], [str(tmp_path / out), str(tmp_path / "third.npz")]
    )
    assert "left out" not in result.stderr
    arrays = dict(np.load(tmp_path / out)) | {"static_offset": np.zeros((1, 5, 3))}
    np.savez(tmp_path / "vhap.npz", **arrays)
    result = CliRunner().invoke(
        commands["imavatar-data convert"], [str(tmp_path / "vhap.npz"), str(tmp_path / "third.npz")]
    )
    assert "note: a track does not hold static_offset: left out" in result.stderr


def test_a_folder_of_a_tracker_is_converted_beside_its_files(
    commands: dict[str, click.Command], tmp_path: Path
) -> None:
    track(tmp_path / "me" / "1.npz")
    out = str(tmp_path / "me" / "all.json")
    for _ in range(2):
        result = CliRunner().invoke(commands["imavatar-data convert"], [str(tmp_path / "me"), out])
        assert result.exit_code == 0, result.output
    shutil.rmtree(tmp_path / "me")
