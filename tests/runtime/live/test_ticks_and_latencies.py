"""Tickers keep to the clock; percentiles of latencies in constant memory."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from imavatar_deploy.errors import BudgetError
from imavatar_deploy.runtime.live.play import check_budget
from imavatar_deploy.runtime.live.render_loop import (
    BIN_SECONDS,
    AtOnce,
    FrameCounts,
    Latencies,
    RealTime,
)


class Clock:
    """A clock that sleeping and work advance."""

    def __init__(self) -> None:
        self.now = 100.0

    def read(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


def test_ticks_keep_to_the_clock_for_an_hour() -> None:
    clock = Clock()
    ticker = RealTime(30.0, clock=clock.read, sleep=clock.sleep)
    for tick, now in islice(ticker.ticks(), 108_000):
        assert now == pytest.approx(100.0 + tick / 30.0, abs=1e-6)
        clock.now += 0.02  # the work
    assert ticker.missed == 0
    assert tick == 107_999


def test_a_tick_that_is_over_is_left_out() -> None:
    clock = Clock()
    ticker = RealTime(10.0, clock=clock.read, sleep=clock.sleep)
    ticks = []
    for tick, _ in islice(ticker.ticks(), 4):
        ticks.append(tick)
        clock.now += 0.35 if tick == 1 else 0.01
    assert ticks == [0, 1, 4, 5]
    assert ticker.missed == 2


def test_at_once_gives_the_motion_s_own_time() -> None:
    assert list(islice(AtOnce(25.0).ticks(), 3)) == [(0, 0.0), (1, 0.04), (2, 0.08)]


def test_percentiles_are_those_of_the_durations() -> None:
    seconds = np.random.default_rng(0).gamma(4.0, 0.005, size=5000)
    latencies = Latencies()
    for value in seconds:
        latencies.add(float(value))
    for q in (50, 95, 99):
        assert latencies.percentile(q) == pytest.approx(
            np.percentile(seconds, q, method="inverted_cdf"), abs=BIN_SECONDS
        )
    assert len(latencies) == 5000
    assert str(latencies).startswith("p50 ")


def test_extremes_are_kept_within_the_bins() -> None:
    latencies = Latencies()
    assert latencies.percentile(50) == 0.0
    for value in (-1.0, 1e9):
        latencies.add(value)
    assert latencies.percentile(1) == BIN_SECONDS
    assert latencies.percentile(99) == np.inf
    assert str(latencies) == "p50 0.1 ms, p95 over 5000 ms, p99 over 5000 ms"


def test_a_latency_beyond_the_bins_is_over_every_budget() -> None:
    frames = FrameCounts()
    frames.latency.add(30.0)
    with pytest.raises(BudgetError, match="p95 is over 5000 ms and the budget 10000 ms"):
        check_budget(frames, 10.0, "vertex")
