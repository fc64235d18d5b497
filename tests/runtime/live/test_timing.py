"""TimestampValidator: wrong timestamps are detected, those of networks and restarts accepted."""

from __future__ import annotations

from collections import Counter

import numpy as np

from imavatar_deploy.runtime.live.motion import MotionPipeline, MotionSettings
from imavatar_deploy.runtime.live.motion.timing import TimestampValidator
from imavatar_deploy.runtime.sources.observation import Arrival, Observation


def invalid(times: list[float]) -> bool:
    validator = TimestampValidator()
    for index, sent in enumerate(times):
        validator.add_packet(sent, index / 60)
    return validator.invalid


def test_times_of_networks_and_of_one_restart_stay_valid() -> None:
    steady = [index / 60 for index in range(600)]
    shuffled = [sent + 0.05 * (index % 3) for index, sent in enumerate(steady)]
    assert not invalid(steady)
    assert not invalid(shuffled)
    assert not invalid([*(1000 + sent for sent in steady), *steady])
    midnight = [86_399 + sent if sent < 1 else sent - 1 for sent in steady]
    assert not invalid(midnight)


def test_times_that_go_backwards_too_often_are_invalid() -> None:
    assert invalid([5 + (37 * index % 60) / 60 for index in range(600)])


def test_a_sender_that_counts_wrongly_is_shown_by_its_arrivals() -> None:
    """`pylivelinkface` sends whole seconds plus a random fraction."""
    rng = np.random.default_rng(0)
    counts = Counter[str]()
    motion = MotionPipeline(
        {"openhead": lambda weights, pose: (weights, pose)}, MotionSettings(fps=60), counts
    )
    errors = []
    for index in range(600):
        now = 50 + index / 60
        pose = np.zeros(15)
        pose[1] = 0.4 * np.sin(2 * np.pi * now / 2)
        observation = Observation("openhead", np.zeros(50), pose, np.floor(now) + rng.random())
        motion.push(Arrival(observation, now + 0.001))
        moment = motion.at(now + 0.002)
        if moment is not None and index > 120:
            errors.append(moment.pose[1] - pose[1])
    assert counts["untimed"] > 500
    assert counts["late"] < 60
    assert np.abs(errors).max() < 0.4 * np.pi * 0.03  # what the head turns in 30 ms
