"""The render loop: every tick drawn or skipped, pausing, orbiting, mirroring, stopping."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from imavatar_deploy.runtime import Player
from imavatar_deploy.runtime.live.drivers import NEUTRAL_STATE, DriverState, TrackDriver
from imavatar_deploy.runtime.live.render_loop import AtOnce, FrameCounts, Viewpoint, run_loop
from imavatar_deploy.runtime.sinks.sink import Controls, Image
from imavatar_deploy.runtime.sources import Source
from imavatar_deploy.tracks import FlameFrame


def as_it_is(expression: np.ndarray, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return expression, pose


def motion(count: int) -> Iterator[FlameFrame]:
    """Frames whose first expression counts them."""
    for index in range(count):
        yield FlameFrame(np.eye(50)[0] * index, np.zeros(15))


@pytest.fixture
def player(tiny_avatar_folder: Path) -> Iterator[Player]:
    with Player(tiny_avatar_folder, size=32, threads=1) as opened:
        yield opened


class RecordedDriver:
    """A driver that records the times of its calls."""

    def __init__(self, controls: Controls, actions: dict[int, str]) -> None:
        self.controls = controls
        self.actions = actions
        self.times: list[float] = []
        self.waited = 0.0
        self.calibrations = 0

    def pose_at(self, now: float) -> DriverState | None:
        self.times.append(now)
        return NEUTRAL_STATE

    def wait(self, seconds: float) -> None:
        self.waited += seconds

    def calibrate(self) -> None:
        self.calibrations += 1

    def show(self, tick: int, image: Image) -> None:
        match self.actions.get(tick):
            case "pause":
                self.controls.paused = True
            case "go on":
                self.controls.paused = False
            case "calibrate":
                self.controls.recalibrate = True
            case "stop":
                self.controls.stopped = True


def test_a_recording_is_drawn_frame_by_frame(player: Player) -> None:
    shown: list[tuple[int, Image]] = []
    frames = FrameCounts()
    view = Viewpoint(player, Controls(), follow=True)
    source = Source(motion(5), 25.0, None, 5)
    run_loop(
        view,
        TrackDriver(source, as_it_is),
        AtOnce(25.0),
        lambda tick, image: shown.append((tick, image)),
        frames,
    )
    assert [tick for tick, _ in shown] == [0, 1, 2, 3, 4]
    for index, (_, image) in enumerate(shown):
        np.testing.assert_array_equal(image, player.render(np.eye(50)[0] * index, np.zeros(15)))
    assert frames.drawn == len(frames.latency) == 5


@pytest.mark.parametrize(
    ("fps", "expected"), [(10.0, [0, 2, 4]), (40.0, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4])]
)
def test_a_recording_keeps_its_speed(fps: float, expected: list[int]) -> None:
    recorded = TrackDriver(Source(motion(5), 20.0, None, 5), as_it_is)
    looked = [recorded.pose_at(tick / fps) for tick in range(len(expected) + 1)]
    assert [int(shown.expression[0]) for shown in looked if shown] == expected
    assert looked[-1] is None


def test_duration_counts_the_motion_s_seconds(player: Player) -> None:
    frames = FrameCounts()
    source = Source(motion(100), 25.0, None, 100)
    view = Viewpoint(player, Controls(), follow=True)
    run_loop(
        view,
        TrackDriver(source, as_it_is),
        AtOnce(25.0),
        lambda tick, image: None,
        frames,
        duration=0.4,
    )
    assert frames.drawn == 10


def test_keys_pause_calibrate_and_stop(player: Player) -> None:
    controls = Controls()
    driver = RecordedDriver(controls, {2: "pause", 5: "go on", 7: "calibrate", 9: "stop"})
    frames = FrameCounts()
    run_loop(Viewpoint(player, controls, follow=True), driver, AtOnce(10.0), driver.show, frames)
    assert driver.times == pytest.approx([0.0, 0.1, 0.2, 0.6, 0.7, 0.8, 0.9])
    assert driver.waited == pytest.approx(0.3)
    assert driver.calibrations == 1
    assert frames.drawn == 10
    assert frames.faceless == 10
    assert not len(frames.latency)


def test_a_mirror_swaps_left_and_right(player: Player) -> None:
    frame = DriverState(np.zeros(50, np.float32), np.array([0, 0.6, *[0] * 13], np.float32), 0.0)
    plain = Viewpoint(player, Controls(), follow=True).draw(frame)
    np.testing.assert_array_equal(
        Viewpoint(player, Controls(), follow=True, mirrored=True).draw(frame), plain[:, ::-1]
    )
    assert (plain != plain[:, ::-1]).any()
