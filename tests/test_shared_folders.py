"""A folder that the processes of a test run share is written once, and completely."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from .shared_folders import shared_folder


@pytest.fixture
def factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The temporary folders of a process of pytest-xdist, of which another shares the parent."""
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
    return SimpleNamespace(getbasetemp=lambda: tmp_path / "popen-gw0")


def test_it_is_written_once_for_all_processes(factory: Any, tmp_path: Path) -> None:
    written = []

    def write(folder: Path) -> None:
        written.append(folder)
        (folder / "file").write_text("content")

    first = shared_folder(factory, "name", write)
    other = SimpleNamespace(getbasetemp=lambda: tmp_path / "popen-gw1")
    assert shared_folder(other, "name", write) == first  # type: ignore[arg-type]
    assert written == [first]
    assert (first / "file").read_text() == "content"


def test_what_a_failed_process_left_is_written_again(factory: Any) -> None:
    def fail(folder: Path) -> None:
        (folder / "rest").touch()
        raise ValueError("the disk is full")

    with pytest.raises(ValueError, match="the disk is full"):
        shared_folder(factory, "name", fail)
    folder = shared_folder(factory, "name", lambda folder: (folder / "file").touch())
    assert [path.name for path in folder.iterdir()] == ["file"]


def test_a_process_alone_has_its_own(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    folders = [
        shared_folder(tmp_path_factory, "alone", lambda folder: (folder / "file").touch())
        for _ in range(2)
    ]
    assert folders[0] != folders[1]
    assert all((folder / "file").exists() for folder in folders)
