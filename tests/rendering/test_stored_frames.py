"""Frames of the bundled sample against frames stored from an earlier release, one file per shading.

A file holds three frames of the bundled motion and the normals of the second, side by side. It is
rewritten, by `tools/sample_frames.py`, only when the sample or its intended appearance changes.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from imavatar_deploy.rendering.shading import SHADINGS

TOOLS = Path(__file__).resolve().parents[2] / "tools"
STORED = Path(__file__).parent / "stored_frames"


@pytest.mark.parametrize("shading", SHADINGS)
def test_same_pixels_as_before(shading: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TOOLS))
    strip = importlib.import_module("sample_frames").strip("sample", shading).astype(int)
    stored = cv2.cvtColor(
        cv2.imread(str(STORED / f"{shading}.png"), cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGBA
    )
    # Another processor may round the last bit of a colour differently; a missing or moved pixel
    # differs by more.
    assert np.abs(strip - stored).max() <= 1
