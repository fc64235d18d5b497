"""`listen` and `run_live` refuse arguments of a wrong type with one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.runtime import Inbox, LiveConfig, Player, listen, run_live
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


def test_a_name_that_no_file_can_have_is_refused() -> None:
    message = r"cannot be read \(File name too long\)"
    with pytest.raises(InputError, match=message), open_source("x" * 5000):
        pytest.fail("it opened")


def test_listen_needs_an_avatar() -> None:
    name: Any = "sample"
    message = "avatar must be an Avatar, as player.avatar is, got str"
    with pytest.raises(UsageError, match=message), listen("talk", name):
        pytest.fail("it listened")


def test_another_configuration_is_refused(tiny_avatar_folder: Path) -> None:
    wrong: Any = {"smoothing": "off"}
    with pytest.raises(UsageError, match="config must be a LiveConfig, got dict"):
        run_live(tiny_avatar_folder, "talk", print, config=wrong, size=16)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"latency": "x"}, "latency must be a number of seconds or None, got 'x'"),
        ({"calibrate": "2s"}, "calibrate must be a number of seconds or None, got '2s'"),
        ({"smoothing": "off"}, "smoothing must be a Smoothing or None, got 'off'"),
        ({"neutral": 5}, "neutral must be a path or None, got 5"),
        ({"adjustments": "jaw=2"}, r"must be a tuple of texts, as \('jaw=2',\), got a str"),
    ],
)
def test_configurations_of_wrong_types_are_refused(values: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        LiveConfig(**values)


def test_the_neutral_face_may_be_named_by_a_string() -> None:
    name: Any = "neutral.json"
    assert LiveConfig(neutral=name).neutral == Path("neutral.json")


def test_config_is_the_name_of_the_configuration(tiny_avatar_folder: Path) -> None:
    config = LiveConfig(latency=0.1)  # refused for a recording, so it arrived
    with pytest.raises(UsageError, match="a tracker's stream"):
        run_live(tiny_avatar_folder, "talk", print, config=config, size=16)


def test_the_old_name_of_config_warns(tiny_avatar_folder: Path) -> None:
    old = LiveConfig(latency=0.1)
    with Player(tiny_avatar_folder, size=16) as player:
        with pytest.warns(DeprecationWarning, match=r"listen\(choices=...\) is now"):
            context = listen("talk", player.avatar, choices=old)
        with pytest.raises(UsageError, match="a tracker's stream"), context:
            pytest.fail("it listened")
        with (
            pytest.warns(DeprecationWarning, match="is now"),
            pytest.raises(UsageError, match="both given"),
        ):
            listen("talk", player.avatar, LiveConfig(), choices=old)
    with (
        pytest.warns(DeprecationWarning, match=r"run_live\(choices=...\) is now"),
        pytest.raises(UsageError, match="a tracker's stream"),
    ):
        run_live(tiny_avatar_folder, "talk", print, choices=old, size=16)


@pytest.mark.parametrize("wrong", ["x", None, np.zeros(50)])
def test_an_inbox_takes_observations_alone(wrong: Any) -> None:
    inbox = Inbox()
    message = f"an inbox takes an Observation for each face, got {type(wrong).__name__}"
    with pytest.raises(UsageError, match=message):
        inbox.put(wrong)
    assert inbox.take() == []
    assert not inbox.counts["received"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"duration": "1s"}, "duration must be a number of seconds, got '1s'"),
        ({"fps": "60"}, "fps must be a number of frames a second, got '60'"),
        ({"show": None}, "show must be a function of an image, got NoneType"),
    ],
)
def test_run_live_checks_its_numbers(values: Any, message: str, tiny_avatar_folder: Path) -> None:
    arguments: dict[str, Any] = {"show": print, "size": 16} | values
    with pytest.raises(UsageError, match=message):
        run_live(tiny_avatar_folder, "talk", **arguments)
