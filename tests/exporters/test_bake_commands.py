"""imavatar-bake: its files and messages, resuming, and the refusal of bad input."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from imavatar_deploy.avatar_io import open_avatar
from imavatar_deploy.exporters.commands.bake import bake
from imavatar_deploy.exporters.formats.gltf.morph_targets import open_jaw
from imavatar_deploy.exporters.formats.gltf.reader import GlbPlayback
from imavatar_deploy.exporters.sequences import formats
from imavatar_deploy.exporters.sequences.motion import Motion
from imavatar_deploy.exporters.sequences.posing import FramePoser
from imavatar_deploy.exporters.skeleton import REST_POSE
from imavatar_deploy.exporters.srgb import as_shown
from imavatar_deploy.tracks import FlameTrack, read_track, write_track

from ..tracks.tracker_files import motion, write_motion
from .sequence_readers import READERS


def call(*arguments: Any) -> Result:
    return CliRunner().invoke(bake, [str(argument) for argument in arguments])


def test_command_reports_files_and_next_commands(tiny_avatar_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = call(
        tiny_avatar_folder, "--format", "pc2,obj", "--out", out, "--frames", "0:5", "--fps", 50
    )
    assert result.exit_code == 0, result.output
    for text in (
        "9 frames of 178 vertices at 50 a second",
        f"wrote {out / 'obj'}",
        "took",
        "next: imavatar-run",
    ):
        assert text in result.output
    assert len(READERS["obj"](out).vertices) == len(READERS["pc2"](out).vertices) == 9
    assert sorted(path.name for path in out.iterdir()) == [
        "LICENCE.txt",
        "bake.json",
        "head.obj",
        "head.pc2",
        "obj",
    ]


def test_formats_without_colours_are_reported_and_written(
    tiny_avatar_folder: Path, tmp_path: Path
) -> None:
    result = call(
        tiny_avatar_folder,
        "--format",
        "mdd,ply",
        "--out",
        tmp_path / "o",
        "--frames",
        "0:2",
        "--colour",
    )
    assert result.exit_code == 0, result.output
    assert "written without colours, which the format cannot hold: mdd; obj, ply" in result.output
    assert READERS["ply"](tmp_path / "o").colours is not None


def test_the_folder_has_the_licence_of_the_head(tiny_avatar_folder: Path, tmp_path: Path) -> None:
    assert (
        call(
            tiny_avatar_folder, "--format", "pc2", "--out", tmp_path / "o", "--frames", "0:2"
        ).exit_code
        == 0
    )
    assert "the head model openhead" in (tmp_path / "o" / "LICENCE.txt").read_text()


def test_a_glb_without_a_texture_network_is_grey_and_reports_it(
    own_avatar_folder: Path, tmp_path: Path
) -> None:
    manifest = json.loads((own_avatar_folder / "avatar.json").read_text())
    del manifest["files"]["texture.onnx"]
    (own_avatar_folder / "avatar.json").write_text(json.dumps(manifest))
    result = call(own_avatar_folder, "--format", "glb", "--out", tmp_path / "o", "--frames", "0:2")
    assert result.exit_code == 0, result.output
    assert "glb: the head is plain grey (the avatar has no texture.onnx)" in result.output
    colours = GlbPlayback(tmp_path / "o" / "head.glb").attribute("COLOR_0")[:, :3]
    assert np.ptp(colours) == 0
    assert 0.1 < colours[0, 0] < 0.9


def test_the_colours_of_a_glb_follow_the_expression(
    tiny_avatar_folder: Path, tmp_path: Path
) -> None:
    arguments = (tiny_avatar_folder, "--format", "glb", "--frames", "0:2")
    result = call(*arguments, "--out", tmp_path / "a", "--colour")
    assert result.exit_code == 0, result.output
    assert "glb: the colours follow expression and jaw" in result.output
    folder = open_avatar(tiny_avatar_folder)
    poser = FramePoser(Motion(folder, read_track("talk"), colour=True), ("colours",))
    file = GlbPlayback(tmp_path / "a" / "head.glb")
    expression = np.eye(50, dtype=np.float32)[4]
    for name, faces in (
        (folder.avatar.expression_names[4], (expression, REST_POSE)),
        ("jawOpenCorrective", (0 * expression, open_jaw())),
    ):
        colours = poser.pose(*faces, name)["colours"]
        assert np.abs(as_shown(file.colours_at(name)) - colours).max() <= 1.5 / 255, name
        assert np.abs(file.colours_at(name) - file.attribute("COLOR_0")[:, :3]).max() > 0.01, name
    assert call(*arguments, "--out", tmp_path / "b").exit_code == 0
    assert GlbPlayback(tmp_path / "b" / "head.glb").primitive.targets[0].get("COLOR_0") is None


class TestResume:
    def arguments(self, avatar: Path, out: Path, *more: Any) -> tuple[Any, ...]:
        return avatar, "--format", "ply", "--out", out, "--frames", "0:3", *more

    def test_writes_the_missing_files_only(self, tiny_avatar_folder: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        assert call(*self.arguments(tiny_avatar_folder, out)).exit_code == 0
        first, second = (out / "ply" / f"frame_00000{index}.ply" for index in (0, 1))
        before, expected = first.stat().st_ino, second.read_bytes()
        second.unlink()
        assert call(*self.arguments(tiny_avatar_folder, out, "--resume")).exit_code == 0
        assert first.stat().st_ino == before
        assert second.read_bytes() == expected

    def test_a_finished_bake_is_not_replaced_by_accident(
        self, tiny_avatar_folder: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "out"
        assert call(*self.arguments(tiny_avatar_folder, out, "--resume")).exit_code == 0, (
            "--resume begins a bake that does not exist"
        )
        result = call(*self.arguments(tiny_avatar_folder, out))
        assert result.exit_code == 2
        assert (
            "holds a bake already; pass --resume to continue it or --overwrite to replace it"
            in result.output
        )
        shorter = (
            tiny_avatar_folder,
            "--format",
            "pc2",
            "--out",
            out,
            "--frames",
            "0:2",
            "--overwrite",
        )
        assert call(*shorter).exit_code == 0
        assert sorted(path.name for path in out.iterdir()) == [
            "LICENCE.txt",
            "bake.json",
            "head.obj",
            "head.pc2",
        ]

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            (("--format", "obj"), "formats ply there, obj now"),
            (("--fps", "30"), "fps 25.0 there, 30.0 now"),
            (("--frames", "1:4"), "motion "),
            (("--colour",), "colour of the neutral face there, of every frame now"),
            (("--no-colour",), "colour of the neutral face there, none now"),
        ],
    )
    def test_other_settings_are_refused(
        self, tiny_avatar_folder: Path, tmp_path: Path, changed: tuple[str, ...], message: str
    ) -> None:
        out = tmp_path / "out"
        assert call(*self.arguments(tiny_avatar_folder, out)).exit_code == 0
        result = call(*self.arguments(tiny_avatar_folder, out, "--resume", *changed))
        assert result.exit_code == 2
        assert "holds a bake with other settings" in result.output
        assert message in result.output

    def test_a_damaged_journal_is_refused(self, tiny_avatar_folder: Path, tmp_path: Path) -> None:
        (tmp_path / "bake.json").write_text("{")
        result = call(*self.arguments(tiny_avatar_folder, tmp_path, "--resume"))
        assert result.exit_code == 6
        assert "pass --overwrite to start again" in result.output


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--format", "objj"), 2, "unknown sequence format 'objj'"),
        (("--format", "obj", "--frames", "4"), 2, "--frames must be like"),
        (("--format", "obj", "--frames", "900:"), 2, "holds no frame of this track, which has 250"),
        (("--format", "obj", "--fps", "0"), 2, "--fps must be more than 0"),
        (("--format", "obj", "--jobs", "5000"), 2, "--jobs must be between 1 and 256, got 5000"),
        (("--format", "obj", "--jobs", "1", "--ray", "auto"), 2, "give one of them"),
        (("--format", "obj", "--track", "nowhere.json"), 6, "there is no track file"),
    ],
)
def test_invalid_options_are_reported_in_one_sentence(
    tiny_avatar_folder: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    result = call(tiny_avatar_folder, "--out", tmp_path / "out", *arguments)
    assert result.exit_code == code, result.output
    assert message in result.output
    assert result.output.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_motion_of_another_head_model_needs_any_edition(
    tiny_avatar_folder: Path, tmp_path: Path
) -> None:
    write_track(
        FlameTrack(np.zeros((2, 50)), np.zeros((2, 15)), edition="flame2020"),
        tmp_path / "foreign.json",
    )
    arguments = (
        tiny_avatar_folder,
        "--track",
        tmp_path / "foreign.json",
        "--format",
        "ply",
        "--out",
        tmp_path / "o",
    )
    result = call(*arguments)
    assert result.exit_code == 6
    assert "made for flame2020 and the avatar for openhead" in result.output
    assert "--any-edition" in result.output
    assert call(*arguments, "--any-edition").exit_code == 0


def test_a_motion_out_of_bounds_is_refused(tiny_avatar_folder: Path, tmp_path: Path) -> None:
    expression = np.zeros((2, 50))
    expression[1, 3] = 1e12
    write_track(
        FlameTrack(expression, np.zeros((2, 15)), edition="openhead"), tmp_path / "wild.json"
    )
    result = call(
        tiny_avatar_folder,
        "--track",
        tmp_path / "wild.json",
        "--format",
        "obj",
        "--out",
        tmp_path / "o",
        "--jobs",
        1,
    )
    assert result.exit_code == 6
    assert "frame 1 moves vertices more than 100000 m away" in result.output


def test_outputs_that_cannot_be_written_are_refused(
    tiny_avatar_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    for out, message in (
        (tmp_path / "file" / "out", "cannot be written (Not a directory"),
        (tmp_path / "full", "letter"),
    ):
        result = call(tiny_avatar_folder, "--format", "obj", "--out", out, "--overwrite")
        assert result.exit_code == 2, result.output
        assert message in result.output
    assert (tmp_path / "full" / "letter.txt").read_text() == "mine"


@pytest.mark.parametrize("formats", ["ply", "abc", "usd", "usdz", "pc2"])
def test_files_without_colours_say_so(
    formats: str, own_avatar_folder: Path, tmp_path: Path
) -> None:
    manifest = json.loads((own_avatar_folder / "avatar.json").read_text())
    del manifest["files"]["texture.onnx"]
    (own_avatar_folder / "avatar.json").write_text(json.dumps(manifest))
    arguments = (own_avatar_folder, "--format", formats, "--frames", "0:2")
    result = call(*arguments, "--out", tmp_path / "o")
    assert result.exit_code == 0, result.output
    assert "written without colours: the avatar has no texture.onnx" in result.output
    assert READERS[formats](tmp_path / "o").colours is None
    silent = call(*arguments, "--out", tmp_path / "p", "--no-colour")
    assert "without colours" not in silent.output


def test_colours_need_the_texture_network(own_avatar_folder: Path, tmp_path: Path) -> None:
    manifest = json.loads((own_avatar_folder / "avatar.json").read_text())
    del manifest["files"]["texture.onnx"]
    (own_avatar_folder / "avatar.json").write_text(json.dumps(manifest))
    result = call(own_avatar_folder, "--format", "ply", "--out", tmp_path / "o", "--colour")
    assert result.exit_code == 6
    assert "has no texture.onnx" in result.output


def test_a_missing_package_is_reported_before_the_work(
    tiny_avatar_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        formats.FORMATS, "ply", replace(formats.FORMATS["ply"], modules=("no_such_module",))
    )
    result = call(tiny_avatar_folder, "--format", "ply", "--out", tmp_path / "o")
    assert result.exit_code == 5
    assert "pip install 'imavatar-deploy[scene]'" in result.output


ROOM = 20_000
"""Bytes."""


@pytest.fixture
def small_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Limit files to `ROOM` bytes, and report as much free space on the disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=ROOM))
        resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, hard))
        yield
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", [row.name for row in formats.FORMATS.values() if row.whole])
def test_a_full_disk_is_reported_in_one_sentence(
    name: str, tiny_avatar_folder: Path, tmp_path: Path, small_disk: None
) -> None:
    out = tmp_path / "o"
    result = call(tiny_avatar_folder, "--format", name, "--out", out, "--frames", "0:20")
    assert result.exit_code == 2, result.output
    assert "cannot be written (" in result.output
    assert "continue with --resume" in result.output
    assert (
        len([line for line in result.output.splitlines() if not line.startswith(f"{name}: ")]) == 1
    )
    assert not list(out.glob(f"head.{name}"))
    assert not list((out / "work").glob("partial-*"))


def test_a_trackers_folder_is_baked_and_its_losses_are_reported(
    tiny_avatar_folder: Path, tmp_path: Path
) -> None:
    track = write_motion("metrical-tracker", tmp_path / "checkpoint", motion(2), ".frame")
    result = call(
        tiny_avatar_folder,
        "--track",
        track,
        "--format",
        "ply",
        "--out",
        tmp_path / "o",
        "--any-edition",
    )
    assert result.exit_code == 0, result.output
    assert "2 frames of" in result.output
    assert "the head stands still and the camera moves" in result.output
