"""The notebook of examples/: its cells run in order, and show pictures and a video."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import cv2
import numpy as np
import pytest

NOTEBOOK = Path(__file__).resolve().parents[1] / "examples" / "first_steps.ipynb"


def cells(kind: str) -> list[str]:
    content = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert content["nbformat"] == 4
    return ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == kind]


def test_it_is_stored_without_outputs() -> None:
    content = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    for cell in content["cells"]:
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None)
    assert len(cells("markdown")) >= 4


def test_its_cells_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With a stand-in for IPython's display."""
    shown: list[dict[str, Any]] = []
    display = ModuleType("IPython.display")
    display.Image = lambda data: {"picture": data}  # type: ignore[attr-defined]
    display.Video = lambda name, embed: {"video": name}  # type: ignore[attr-defined]
    display.display = shown.append  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {}
    for number, cell in enumerate(cells("code")):
        exec(compile(cell, f"cell {number}", "exec"), namespace)
    neutral, smiling, video = shown
    images = [
        cv2.imdecode(np.frombuffer(one["picture"], np.uint8), cv2.IMREAD_UNCHANGED)
        for one in (neutral, smiling)
    ]
    assert [image.shape for image in images] == [(256, 256, 4)] * 2
    assert 0.2 < (images[0][..., 3] > 128).mean() < 0.9
    assert np.abs(images[0].astype(int) - images[1]).mean() > 0.5, "a smile and an open mouth"
    with av.open(str(tmp_path / video["video"])) as container:
        assert sum(1 for _ in container.decode(video=0)) == 50
