"""Lines of `--stats` and of the end of a run: what a source knows of the face."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from imavatar_deploy.runtime.live.render_loop import FrameCounts
from imavatar_deploy.runtime.live.statistics import Statistics
from imavatar_deploy.runtime.sources import LiveSource
from imavatar_deploy.runtime.sources.observation import Inbox


def statistics(source: LiveSource) -> Statistics:
    loop: Any = SimpleNamespace(missed=0)
    driver: Any = None
    return Statistics(FrameCounts(), loop, driver, source)


def test_the_state_of_the_face_is_displayed() -> None:
    state = "mean"
    figures = statistics(LiveSource(Inbox(), 30.0, "openhead", "camera 0", face=lambda: state))
    assert figures.line().endswith("face mean")
    state = "calibrated"
    assert figures.line().endswith("face calibrated")
    assert figures.source_line() == "camera 0: nothing came; the face is calibrated"


def test_trackers_of_their_own_state_nothing() -> None:
    source = LiveSource(Inbox(), 30.0, "openhead", "UDP 9000")
    assert "face" not in statistics(source).snapshot()
    assert statistics(source).source_line() == "UDP 9000: nothing came"
