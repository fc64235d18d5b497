"""BadNetwork: its rates, its repeatability, and no loss by default."""

from __future__ import annotations

from itertools import count, groupby, islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imavatar_deploy.errors import UsageError
from imavatar_deploy.runtime.streams.bad_network import BadNetwork, deliveries, through

TIMES = [number / 60 for number in range(20000)]


def test_a_good_one_changes_nothing() -> None:
    assert deliveries(TIMES) == [(time, index) for index, time in enumerate(TIMES)]


def test_the_same_seed_is_the_same_fate() -> None:
    bad = {"loss": 0.2, "jitter": 0.04, "duplicate": 0.1, "burst": 3}
    assert deliveries(TIMES[:100], **bad, seed=4) == deliveries(TIMES[:100], **bad, seed=4)
    assert deliveries(TIMES[:100], **bad, seed=4) != deliveries(TIMES[:100], **bad, seed=5)


@pytest.mark.parametrize("loss", [0.02, 0.2, 0.6])
@pytest.mark.parametrize("burst", [1.0, 2.0, 8.0])
def test_loses_its_share_in_bursts_as_long_as_asked(loss: float, burst: float) -> None:
    arrived = {index for _, index in deliveries(TIMES, loss=loss, burst=burst, seed=1)}
    lost = [index not in arrived for index in range(len(TIMES))]
    runs = [len(list(run)) for gone, run in groupby(lost) if gone]
    expected = max(burst, 1 / (1 - loss))
    assert np.mean(lost) == pytest.approx(loss, rel=0.25)
    assert np.mean(runs) == pytest.approx(expected, rel=0.25)


def test_jitter_delays_and_lets_overtake() -> None:
    arrived = deliveries(TIMES, jitter=0.1, seed=2)
    delays = np.array([moment - TIMES[index] for moment, index in arrived])
    assert 0 <= delays.min() < 0.001
    assert 0.099 < delays.max() <= 0.1
    assert delays.mean() == pytest.approx(0.05, rel=0.05)
    order = [index for _, index in arrived]
    assert sorted(order) == list(range(len(TIMES)))
    assert order != sorted(order)


def test_doubles_its_share() -> None:
    arrived = [index for _, index in deliveries(TIMES, duplicate=0.05, jitter=0.02, seed=3)]
    assert len(arrived) - len(set(arrived)) == pytest.approx(0.05 * len(TIMES), rel=0.1)
    assert len(set(arrived)) == len(TIMES)


def test_everything_or_nothing() -> None:
    assert deliveries(TIMES, loss=1.0) == []
    assert len(deliveries(TIMES, duplicate=1.0)) == 2 * len(TIMES)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(0, 10), max_size=30).map(sorted),
    st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(1, 50), st.integers(0, 99),
)  # fmt: skip
def test_arrivals_come_in_order_and_never_early(
    times: list[float], loss: float, jitter: float, duplicate: float, burst: float, seed: int
) -> None:
    arrived = deliveries(
        times, loss=loss, jitter=jitter, duplicate=duplicate, burst=burst, seed=seed
    )
    assert arrived == sorted(arrived)
    assert all(times[index] <= moment <= times[index] + jitter for moment, index in arrived)
    assert all(sum(other == index for _, other in arrived) <= 2 for _, index in arrived)


def test_an_endless_stream_is_passed_on_as_it_goes() -> None:
    network = BadNetwork(loss=0.5, jitter=0.3, duplicate=0.5)
    arrived = list(islice(through(network, ((number / 10, number) for number in count())), 1000))
    assert arrived == sorted(arrived)
    assert network.lost > 100 < network.doubled


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"loss": -0.1}, "loss must be between 0 and 1, got -0.1"),
        ({"loss": float("nan")}, "loss must be"),
        ({"duplicate": 1.1}, "duplicate must be"),
        ({"jitter": -1}, "jitter must be between 0 and 10 seconds"),
        ({"jitter": 11}, "jitter must be"),
        ({"burst": 0.5}, "burst must be 1 packet or more"),
        ({"burst": float("inf")}, "burst must be"),
    ],
)
def test_impossible_networks_are_refused(bad: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        deliveries([], **bad)
