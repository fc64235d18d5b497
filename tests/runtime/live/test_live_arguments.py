"""`listen` and `run_live` refuse arguments of a wrong type with one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imavatar_deploy.errors import UsageError
from imavatar_deploy.runtime import Player, listen, run_live
from imavatar_deploy.runtime.sources import open_source
from imavatar_deploy.tracks import FlameTrack


def test_a_track_in_memory_is_a_source(tiny_avatar_folder: Path) -> None:
    pose = np.zeros((3, 15))
    pose[:, 1] = 0.1, 0.2, 0.3
    track = FlameTrack(np.zeros((3, 50)), pose, edition="openhead", fps=25.0)
    with Player(tiny_avatar_folder, size=16) as player, listen(track, player.avatar) as driver:
        states = [driver.pose_at(10 + index / 25) for index in range(4)]
    assert states[3] is None
    assert [round(float(state.pose[1]), 3) for state in states if state] == [0.1, 0.2, 0.3]
    images: list[np.ndarray] = []
    run_live(tiny_avatar_folder, track, images.append, fps=25, size=16)
    assert images


@pytest.mark.parametrize("source", [None, 5, b"talk"])
def test_another_source_is_refused(source: Any, tiny_avatar_folder: Path) -> None:
    message = f"source must be a str, a Path, a FlameTrack or an Inbox, got {type(source).__name__}"
    with pytest.raises(UsageError, match=message):
        run_live(tiny_avatar_folder, source, print, size=16)
    with pytest.raises(UsageError, match="a source must be a str or a Path"):
        open_source(source)
