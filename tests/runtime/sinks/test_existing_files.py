"""Files of an earlier run: refused at the start without --overwrite, and kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from imavatar_deploy.runtime.commands.run import run
from imavatar_deploy.runtime.sinks import Stream, open_sink

FILES = {
    "clip.mp4": ["clip.mp4"],
    "clip.webm": ["clip.webm"],
    "clip.mov": ["clip.mov"],
    "clip.avi": ["clip.avi"],
    "clip.gif": ["clip.gif"],
    "sheet.png": ["sheet.png"],
    "frames/%05d.png": ["frames/00001.png", "frames/00007.png"],
    "frames/a%d.png": ["frames/a3.png"],
    "frames/%d.jpg": ["frames/3.jpg", "frames/7.jpg"],
    "frames/": ["frames/00001.png", "frames/00007.png"],
}
"""Sink -> files of an earlier run."""


def play(avatar: Path, *arguments: object) -> Result:
    return CliRunner().invoke(
        run,
        [str(argument) for argument in (avatar, "--frames", "0:2", "--size", 32, *arguments)],
    )


@pytest.mark.parametrize("sink", FILES)
def test_files_of_an_earlier_run_are_kept(
    sink: str, tiny_avatar_folder: Path, tmp_path: Path
) -> None:
    for name in FILES[sink]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    result = play(
        tiny_avatar_folder, "--sink", f"{tmp_path}/{sink}", "--sink", tmp_path / "new.mp4"
    )
    assert result.exit_code == 2
    first, *others = FILES[sink]
    more = f" and {len(others)} more files" if others else ""
    assert (
        f"{tmp_path / first}{more} of an earlier run would be replaced; choose another --sink, or "
        "pass --overwrite"
    ) in result.stderr
    assert all((tmp_path / name).read_text() == "mine" for name in FILES[sink])
    assert not (tmp_path / "new.mp4").exists()


@pytest.mark.parametrize("sink", FILES)
def test_overwrite_replaces_them(sink: str, tiny_avatar_folder: Path, tmp_path: Path) -> None:
    for _ in range(2):
        result = play(tiny_avatar_folder, "--sink", f"{tmp_path}/{sink}", "--overwrite")
        assert result.exit_code == 0, result.output


@pytest.mark.parametrize("sink", ["%d.png", "%d.jpg"])
def test_overwrite_removes_the_rest_of_a_longer_run(
    sink: str, tiny_avatar_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "frames"
    (folder / sink.replace("%d", "8")).mkdir(parents=True)
    (tmp_path / "elsewhere").write_text("mine")
    (folder / sink.replace("%d", "9")).symlink_to(tmp_path / "elsewhere")
    stale = [folder / sink.replace("%d", number) for number in ("3", "7", "12")]
    kept = [folder / name for name in ("07.png", "7.txt", "a7.png", "7.png.old", "0.png", "7.PNG")]
    for path in (*stale, *kept):
        path.write_text("earlier")
    result = play(tiny_avatar_folder, "--sink", folder / sink, "--overwrite")
    assert result.exit_code == 0, result.output
    assert "; 3 more of an earlier run removed" in result.stdout
    assert not any(path.exists() for path in stale)
    assert all(path.read_text() == "earlier" for path in kept)
    assert (folder / sink.replace("%d", "8")).is_dir()
    assert (folder / sink.replace("%d", "9")).is_symlink()
    assert (tmp_path / "elsewhere").read_text() == "mine"


def test_failed_run_removes_nothing(tmp_path: Path) -> None:
    for number in range(1, 4):
        (tmp_path / f"{number}.png").write_text("earlier")
    stream = Stream(32, 32, 25, overwrite=True)
    with pytest.raises(RuntimeError), open_sink(tmp_path / "%d.png", stream) as sink:
        sink.write(np.zeros((32, 32, 4), np.uint8))
        raise RuntimeError
    assert [path.read_text() for path in sorted(tmp_path.iterdir())] == ["earlier"] * 3


def test_the_rest_is_reported_without_overwriting(tmp_path: Path) -> None:
    for number in range(1, 7):
        (tmp_path / f"{number}.png").write_text("earlier")
    with open_sink(tmp_path / "%d.png", Stream(32, 32, 25)) as sink:
        sink.write(np.zeros((32, 32, 4), np.uint8))
    assert "; 5 of an earlier run remain, up to 6.png" in sink.report()
    assert len(list(tmp_path.iterdir())) == 6


def test_other_files_and_other_sinks_are_no_obstacle(
    tiny_avatar_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "00001.jpg").write_text("mine")
    (tmp_path / "1.png").write_text("mine")
    result = play(tiny_avatar_folder, "--sink", tmp_path / "%05d.png", "--sink", "null")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "1.png").read_text() == "mine"
