"""Senders whose clock does not count seconds: the head follows them all the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from imavatar_deploy.runtime.live.motion import MotionPipeline, MotionSettings
from imavatar_deploy.runtime.live.motion.timing import TimestampValidator
from imavatar_deploy.runtime.sources.observation import Arrival, Observation

FPS = 30
LOOKS = 210
"""Looks after the first second, one for each packet."""

CLOCKS: dict[str, Callable[[int, float], float | None]] = {
    "seconds": lambda number, now: now,
    "seconds of another day": lambda number, now: now - 80_000.25,
    "no time": lambda number, now: None,
    "a constant": lambda number, now: 0.0,
    "milliseconds": lambda number, now: 1000 * now,
    "milliseconds that call themselves 60ths": lambda number, now: 1000 * now / 60,
    "numbers of frames": lambda number, now: float(number),
    "30 frames a second that call themselves 60": lambda number, now: number / 60,
    "30 frames a second that call themselves 24": lambda number, now: number / 24,
    "a float32 of the day's date": lambda number, now: float(np.float32(1.79e9 + now)),
    "whole seconds": lambda number, now: float(int(now)),
}


@pytest.mark.parametrize("numbered", [False, True])
@pytest.mark.parametrize("clock", CLOCKS.values(), ids=CLOCKS)
def test_the_head_follows(clock: Callable[[int, float], float | None], numbered: bool) -> None:
    rng = np.random.default_rng(4)
    counts = Counter[str]()
    motion = MotionPipeline(
        {"openhead": lambda weights, pose: (weights, pose)}, MotionSettings(fps=60), counts
    )
    shown: list[float] = []
    truth: list[float] = []
    for number in range(FPS + LOOKS):
        now = 50 + number / FPS
        pose = np.zeros(15)
        pose[1] = 0.3 * np.sin(2 * np.pi * 0.7 * now)
        sequence = number if numbered else None
        time = clock(number, now - 50)
        observation = Observation("openhead", np.zeros(50), pose, time, sequence)
        motion.push(Arrival(observation, now + 0.001 + 0.004 * rng.random()))
        sample = motion.at(now + 1 / 60)
        if number >= FPS and sample is not None:
            shown.append(float(sample.pose[1]))
            truth.append(float(pose[1]))
    late = 2 * FPS  # a clock that is off by a quarter is followed late until it is known
    held = int((np.abs(np.diff(shown)) < 1e-4).sum())
    assert held <= 2
    lags = range(1, 10)
    best = max(np.corrcoef(shown[late + lag :], truth[late:-lag])[0, 1] for lag in lags)
    assert best > 0.97


@pytest.mark.parametrize("seconds", [0.2, 0.5, 2.0])
def test_a_network_that_stalls_is_no_wrong_clock(seconds: float) -> None:
    """All packets of a stall arrive at its end."""
    validator = TimestampValidator()
    for number in range(1200):
        sent = number / 60
        arrived = max(sent, seconds * np.ceil(sent / seconds)) if 5 < sent < 12 else sent
        validator.add_packet(sent + 100, arrived + 0.02)
    assert not validator.invalid


def test_a_network_that_delays_more_and_more_is_no_wrong_clock() -> None:
    validator = TimestampValidator()
    for number in range(1200):
        sent = number / 60
        validator.add_packet(sent, sent + 0.15 * min(sent, 4.0))
    assert not validator.invalid


def test_a_sender_that_restarts_or_pauses_is_no_wrong_clock() -> None:
    validator = TimestampValidator()
    for number in range(1200):
        sent = number / 60
        pause = 3.0 if sent > 10 else 0.0
        validator.add_packet(sent if sent < 5 else sent - 5, sent + pause)
    assert not validator.invalid
