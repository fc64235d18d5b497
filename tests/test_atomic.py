"""Atomic outputs: complete or absent, and no other data is replaced."""

from __future__ import annotations

from pathlib import Path

import pytest

from imavatar_deploy.atomic import atomic_file, atomic_folder
from imavatar_deploy.errors import UsageError


def write_folder(out: Path, text: str, *, overwrite: bool = False) -> None:
    with atomic_folder(out, marker="marker.json", overwrite=overwrite) as folder:
        (folder / "marker.json").write_text(text, encoding="utf-8")


def test_file_appears_only_when_whole(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "track.json"
    with pytest.raises(RuntimeError), atomic_file(out) as partial:
        partial.write_text("half", encoding="utf-8")
        raise RuntimeError
    assert not out.parent.exists()
    with atomic_file(out) as partial:
        assert partial.suffix == ".json"
        partial.write_text("whole", encoding="utf-8")
    assert [path.name for path in out.parent.iterdir()] == ["track.json"]


def test_folder_appears_only_when_whole(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError),
        atomic_folder(tmp_path / "avatar", marker="marker.json") as folder,
    ):
        (folder / "marker.json").touch()
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_failed_overwrite_keeps_the_earlier_result(tmp_path: Path) -> None:
    out = tmp_path / "avatar"
    write_folder(out, "first")
    with pytest.raises(RuntimeError), atomic_folder(out, marker="marker.json", overwrite=True):
        raise RuntimeError
    assert (out / "marker.json").read_text(encoding="utf-8") == "first"
    write_folder(out, "second", overwrite=True)
    assert (out / "marker.json").read_text(encoding="utf-8") == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["avatar"]


def test_earlier_result_needs_overwrite(tmp_path: Path) -> None:
    write_folder(tmp_path / "avatar", "first")
    with pytest.raises(UsageError, match=r"pass overwrite=True \(--overwrite\)"):
        write_folder(tmp_path / "avatar", "second")


def test_foreign_folder_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(UsageError, match="other things"):
        write_folder(tmp_path, "mine", overwrite=True)
    assert (tmp_path / "holiday.jpg").exists()


def test_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "avatar").touch()
    with pytest.raises(UsageError, match="is a file"):
        write_folder(tmp_path / "avatar", "mine", overwrite=True)


def test_unwritable_place_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        write_folder(tmp_path / "file" / "avatar", "mine")
    with (
        pytest.raises(UsageError, match="cannot be written"),
        atomic_file(tmp_path / "file" / "track.json"),
    ):
        pass
