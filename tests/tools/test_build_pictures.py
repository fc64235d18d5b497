"""The script that draws the pictures of the sample: their size, mark and contents."""

from __future__ import annotations

import importlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from imavatar_deploy.marking import XMP

TOOLS = Path(__file__).resolve().parents[2] / "tools"
SIDE = 64


def test_a_sheet_and_a_turntable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(TOOLS))
    tool = importlib.import_module("build_pictures")
    for name, value in {"SIZE": SIDE, "TURN": 3, "TURN_SIZE": SIDE}.items():
        monkeypatch.setattr(tool, name, value)
    result = CliRunner().invoke(tool.build, ["sample", "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    sheet = cv2.imread(str(tmp_path / tool.SHEET))
    assert sheet.shape == (2 * SIDE, 4 * SIDE, 3)
    tiles = [tile for row in np.split(sheet, 2) for tile in np.split(row, 4, axis=1)]
    assert all((tile < 250).any(axis=-1).mean() > 0.1 for tile in tiles)
    assert len({tile.tobytes() for tile in tiles}) == len(tiles)
    assert XMP in (tmp_path / tool.SHEET).read_bytes()
    turntable = (tmp_path / tool.TURNTABLE).read_bytes()
    assert turntable.endswith(XMP + b"\0" * (len(XMP) % 2))
    done, animation = cv2.imreadanimation(str(tmp_path / tool.TURNTABLE), 0, 100)
    assert done
    assert len(animation.frames) == 3
    assert animation.frames[0].shape[:2] == (SIDE, SIDE)
