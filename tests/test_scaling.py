"""The scaling benchmark on tiny avatars: it runs, and its results can be read."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest
import scaling
from click.testing import CliRunner

from .tiny_avatar import write_tiny_folder


def test_tables_fits_and_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "SIZES", (8, 16, 24))
    monkeypatch.setattr(scaling, "USUAL_SIZE", 8)
    (tmp_path / "levels").mkdir()
    write_tiny_folder(tmp_path / "levels" / "tiny")
    out = tmp_path / "out"
    result = CliRunner().invoke(
        scaling.main, [str(tmp_path / "levels"), "--out", str(out), "--frames", "1"]
    )
    assert result.exit_code == 0, result.output
    report = json.loads((out / "scaling.json").read_text(encoding="utf-8"))
    assert {name: len(rows) for name, rows in report["rows"].items()} == {
        "vertices": 2,
        "pixels": 6,
        "avatars at once": 7,
    }
    assert [fact["axis"] for fact in report["growth"]["pixels"]] == ["covered pixels"] * 2
    assert "for every covered pixel" in (out / "scaling.md").read_text(encoding="utf-8")
    height, width, _ = cv2.imread(str(out / "scaling.png")).shape
    assert width > height > 300


def test_folder_without_avatars_is_one_sentence(tmp_path: Path) -> None:
    result = CliRunner().invoke(scaling.main, [str(tmp_path), "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "levels_of_detail.py" in result.stderr
