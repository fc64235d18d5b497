"""Temporary folders of killed processes: removed by the next output of the same name, only then."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from imavatar_deploy import leftovers
from imavatar_deploy.atomic import atomic_file, atomic_folder, ensure_writable, write_text

from .processes import Child, started

LIMIT = 60
"""Seconds that a child may take to begin."""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such locks")

FILE = """
from imavatar_deploy.atomic import atomic_file
with atomic_file(sys.argv[1]) as partial:
    partial.write_text("half")
    wait()
"""

SINK = """
import numpy as np
from imavatar_deploy.runtime.sinks import Stream, open_sink
with open_sink(sys.argv[1], Stream(32, 32, 25)) as sink:
    sink.write(np.zeros((32, 32, 4), np.uint8))
    wait()
"""

REPLACING = """
from pathlib import Path
from imavatar_deploy.atomic import atomic_folder
with atomic_folder(sys.argv[1], marker="marker", overwrite=True) as folder:
    (folder / "marker").write_text("new")
    rename = Path.rename
    Path.rename = lambda path, to: (rename(path, to), wait())
"""

BEGIN = """
import sys, time
def wait():
    print("begun", flush=True)
    time.sleep(600)
"""


@contextmanager
def child(program: str, target: Path | str) -> Iterator[Child]:
    """A process that has begun an output and waits; it is ended with the context."""
    command = [sys.executable, "-c", BEGIN + program, str(target)]
    with started(command, limit=LIMIT) as process:
        assert process.line() == "begun\n", "the child ended or hung before it began"
        yield process


def kill(program: str, target: Path | str) -> None:
    with child(program, target) as process:
        process.process.kill()
        process.process.wait(LIMIT)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def partial_folders(folder: Path) -> list[Path]:
    return sorted(folder.glob(".*.partial-*"))


def test_leftover_of_a_killed_process_is_removed(tmp_path: Path) -> None:
    kill(FILE, tmp_path / "track.json")
    assert len(partial_folders(tmp_path)) == 1
    write_text(tmp_path / "track.json", "whole")
    assert names(tmp_path) == ["track.json"]


@pytest.mark.parametrize("target", ["take.mp4", "%05d.png"])
def test_leftovers_of_sinks_are_removed(target: str, tmp_path: Path) -> None:
    kill(SINK, tmp_path / target)
    assert len(partial_folders(tmp_path)) == 1
    ensure_writable(tmp_path / target)
    assert not names(tmp_path)


def test_folder_of_a_living_process_stays(tmp_path: Path) -> None:
    with child(FILE, tmp_path / "track.json"):
        (folder,) = partial_folders(tmp_path)
        write_text(tmp_path / "track.json", "mine")
        assert partial_folders(tmp_path) == [folder]
        assert (folder / "track.json").read_text() == "half"
    write_text(tmp_path / "track.json", "mine")
    assert names(tmp_path) == ["track.json"]


def test_folder_of_this_process_stays(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "a.txt") as first:
        first.write_text("first")
        write_text(tmp_path / "a.txt", "second")
        assert first.read_text() == "first"
    assert names(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "first"


@pytest.mark.parametrize("other", ["b.json", "track.json.partial-b", "track", "xtrack.json"])
def test_leftovers_of_other_targets_stay(other: str, tmp_path: Path) -> None:
    kill(FILE, tmp_path / other)
    before = partial_folders(tmp_path)
    write_text(tmp_path / "track.json", "whole")
    assert partial_folders(tmp_path) == before


def test_folders_without_a_lock_stay(tmp_path: Path) -> None:
    unknown = tmp_path / ".track.json.partial-abcdefgh"
    unknown.mkdir()
    (tmp_path / ".track.json.partial-file").write_text("mine")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / leftovers.LOCK_FILE).touch()
    (tmp_path / ".track.json.partial-link").symlink_to(tmp_path / "elsewhere")
    before = names(tmp_path)
    write_text(tmp_path / "track.json", "whole")
    assert names(tmp_path) == sorted([*before, "track.json"])
    assert (tmp_path / "elsewhere" / leftovers.LOCK_FILE).exists()


def test_the_only_copy_of_an_earlier_result_stays(tmp_path: Path) -> None:
    """The child is killed after it has moved the earlier folder aside."""
    out = tmp_path / "avatar"
    with atomic_folder(out, marker="marker") as folder:
        (folder / "marker").write_text("earlier")
    kill(REPLACING, out)
    (leftover,) = partial_folders(tmp_path)
    assert not out.exists()
    ensure_writable(out)
    assert (leftover / leftovers.REPLACED / "marker").read_text() == "earlier"
    with atomic_folder(out, marker="marker") as folder:
        (folder / "marker").write_text("third")
    with atomic_folder(out, marker="marker", overwrite=True) as folder:
        (folder / "marker").write_text("fourth")
    assert names(tmp_path) == ["avatar"]


def test_outputs_work_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kill(FILE, tmp_path / "track.json")
    monkeypatch.setattr(leftovers, "LOCKS", None)
    write_text(tmp_path / "track.json", "whole")
    assert (tmp_path / "track.json").read_text() == "whole"
    assert len(partial_folders(tmp_path)) == 1
