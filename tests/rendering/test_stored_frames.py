"""Frames of the bundled sample against frames stored from an earlier release, one file per shading.

A file holds three frames of the bundled motion and the normals of the second, side by side. It is
rewritten only when the sample or its intended appearance changes.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from imavatar_deploy.rendering.shading import SHADINGS
from imavatar_deploy.runtime import Player
from imavatar_deploy.tracks import read_track

STORED = Path(__file__).parent / "stored_frames"
FRAMES = (0, 37, 120)
SIZE = (96, 80)


@pytest.mark.parametrize("shading", SHADINGS)
def test_same_pixels_as_before(shading: str) -> None:
    stored = cv2.cvtColor(
        cv2.imread(str(STORED / f"{shading}.png"), cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGBA
    )
    talk = read_track("talk")
    with Player(
        "sample", size=SIZE, shading=shading, background="#204060", antialias="none"
    ) as player:
        images = [player.render(talk.expression[frame], talk.pose[frame]) for frame in FRAMES]
        normals = player.normals(talk.expression[FRAMES[1]], talk.pose[FRAMES[1]])
    picture = np.full((*normals.shape[:2], 4), 255, dtype=np.uint8)
    picture[..., :3] = np.round((normals + 1) * 127.5)
    strip = np.concatenate([*images, picture], axis=1).astype(int)
    # Another processor may round the last bit of a colour differently; a missing or moved pixel
    # differs by more.
    assert np.abs(strip - stored).max() <= 1
