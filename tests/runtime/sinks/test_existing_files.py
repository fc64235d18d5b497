"""Files of an earlier run: refused at the start without --overwrite, and kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from imavatar_deploy.runtime.commands.run import run

FILES = {
    "clip.mp4": ["clip.mp4"],
    "sheet.png": ["sheet.png"],
    "frames/%05d.png": ["frames/00001.png", "frames/00007.png"],
    "frames/a%d.png": ["frames/a3.png"],
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
    result = play(tiny_avatar_folder, "--sink", tmp_path / sink, "--sink", tmp_path / "new.mp4")
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
        result = play(tiny_avatar_folder, "--sink", tmp_path / sink, "--overwrite")
        assert result.exit_code == 0, result.output


def test_other_files_and_other_sinks_are_no_obstacle(
    tiny_avatar_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "00001.jpg").write_text("mine")
    (tmp_path / "1.png").write_text("mine")
    result = play(tiny_avatar_folder, "--sink", tmp_path / "%05d.png", "--sink", "null")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "1.png").read_text() == "mine"
