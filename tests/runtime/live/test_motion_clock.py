"""The sender's clock from the arrival of packets: jitter, drift, another clock, no timestamps."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from imavatar_deploy.runtime.live.motion.timing import (
    JUMP_SECONDS,
    ArrivalClock,
    IntervalEstimator,
    SenderClock,
)

DELAY_SECONDS = 0.02
CLOCK_OFFSET = 1.7e9


def sender_times(clock: SenderClock, times: np.ndarray, arrivals: np.ndarray) -> np.ndarray:
    """The sender's time after each packet."""
    times_shown = []
    for sent, arrived in zip(times, arrivals, strict=True):
        clock.add_packet(float(sent), float(arrived))
        times_shown.append(clock.at(float(arrived)))
    return np.array(times_shown)


def test_jitter_is_not_in_the_clock() -> None:
    times = np.arange(900) / 30
    arrivals = times + DELAY_SECONDS + np.random.default_rng(0).uniform(0, 0.04, 900)
    late = sender_times(SenderClock(), times + CLOCK_OFFSET, arrivals) - (
        arrivals - DELAY_SECONDS + CLOCK_OFFSET
    )
    assert np.abs(late[60:]).max() < 0.004, "of 40 ms"


@pytest.mark.parametrize("drift", [-200e-6, 200e-6])
def test_an_hour_of_drift_is_followed_without_a_step(drift: float) -> None:
    times = np.arange(3600 * 10) / 10
    arrivals = times + DELAY_SECONDS + np.random.default_rng(0).uniform(0, 0.02, len(times))
    clock = SenderClock()
    times_shown = sender_times(clock, times * (1 + drift) + CLOCK_OFFSET, arrivals)
    error = times_shown - ((arrivals - DELAY_SECONDS) * (1 + drift) + CLOCK_OFFSET)
    assert np.abs(error[200:]).max() < 0.005
    assert np.abs(error[-36000 // 10 :].mean() - error[200:3800].mean()) < 2e-4, (
        "the last minutes are as the first"
    )
    assert clock.restarts == 0
    assert len(clock._least) < 40


def test_time_runs_evenly() -> None:
    clock = SenderClock()
    rng = np.random.default_rng(1)
    times_shown = []
    for tick in range(6000):
        now = 10 + tick / 60
        if tick % 2 == 0 and rng.uniform() > 0.2:
            clock.add_packet(now - DELAY_SECONDS - 0.04 * rng.uniform() ** 2 + CLOCK_OFFSET, now)
            times_shown.append(clock.at(now))
    rates = [(after - before) for before, after in pairwise(times_shown)]
    assert min(rates) > 0
    even = [clock.at(200 + tick / 60) for tick in range(120)]
    assert all(0.95 / 60 < after - before < 1.05 / 60 for before, after in pairwise(even))


@pytest.mark.parametrize("jump", [-1000.0, -0.5, 0.5, 1000.0])
def test_another_clock_is_taken_over_once_it_is_sure(jump: float) -> None:
    clock = SenderClock()
    times = np.arange(90) / 30
    sender_times(clock, times, times + DELAY_SECONDS)
    belongs = [clock.add_packet(time + jump, time + DELAY_SECONDS) for time in 3 + times[:6]]
    assert belongs == [False] * 3 + [True] * 3
    assert clock.restarts == 1
    assert clock.at(3.2) == pytest.approx(3.2 - DELAY_SECONDS + jump, abs=1e-6)


def test_a_burst_that_was_held_up_is_no_other_clock() -> None:
    clock = SenderClock()
    times = np.arange(90) / 30
    sender_times(clock, times, times + DELAY_SECONDS)
    for time in 3 + np.arange(30) / 30:  # a second of packets at once
        clock.add_packet(time, 4 + DELAY_SECONDS)
    assert clock.restarts == 0
    assert clock.at(4.5) == pytest.approx(4.5 - DELAY_SECONDS, abs=0.001)
    assert not clock.add_packet(4.5 - DELAY_SECONDS - 2 * JUMP_SECONDS, 4.5)


def test_packets_without_a_time_are_put_on_an_even_beat() -> None:
    times = np.arange(600) / 30
    arrivals = times + DELAY_SECONDS + np.random.default_rng(0).uniform(0, 0.02, 600)
    beat = ArrivalClock(1 / 25)
    moments = np.array([beat.time_of(float(arrived)) for arrived in arrivals])
    assert beat.interval == pytest.approx(1 / 30, rel=0.05)
    assert np.diff(moments)[200:].std() < np.diff(arrivals)[200:].std() / 4
    assert np.abs(moments - arrivals)[200:].max() < 0.03


def test_a_beat_leaves_room_for_what_was_lost_and_begins_anew_after_a_pause() -> None:
    beat = ArrivalClock(1 / 30)
    assert beat.time_of(0.0) == 0
    assert beat.time_of(0.1) == pytest.approx(0.1)
    assert beat.time_of(60.0) == 60


def test_sequence_numbers_order_a_beat() -> None:
    beat = ArrivalClock(0.05)
    moments = [
        beat.time_of(arrived, sequence)
        for arrived, sequence in ((0.0, 7), (0.11, 9), (0.112, 8), (0.113, 9))
    ]
    assert moments[0] < moments[2] < moments[1] == moments[3]


@pytest.mark.parametrize("fps", [10, 25, 30, 60, 120])
def test_intervals_is_found_in_spite_of_losses(fps: int) -> None:
    intervals = IntervalEstimator(1 / 30)
    times = np.arange(900) / fps
    for time in times[np.random.default_rng(0).uniform(size=900) > 0.2]:
        intervals.add_face(float(time))
    assert intervals.interval == pytest.approx(1 / fps, rel=0.01)
