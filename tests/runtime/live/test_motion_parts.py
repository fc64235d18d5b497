"""Parts of the motion: jitter buffer, dropouts, One-Euro filter, correction, rotations."""

from __future__ import annotations

import math

import numpy as np
import pytest

from imavatar_deploy.errors import UsageError
from imavatar_deploy.kinematics import axis_angles, inverse, product, quaternions, rotations
from imavatar_deploy.runtime.live.motion.face_state import CHANNELS, NEUTRAL, Face, face_of
from imavatar_deploy.runtime.live.motion.jitter_buffer import (
    BUFFER_CAPACITY,
    DROPOUTS,
    JitterBuffer,
)
from imavatar_deploy.runtime.live.motion.playback import (
    ACCELERATIONS,
    Correction,
    OneEuro,
    Smoothing,
)

RNG = np.random.default_rng(0)
FOREVER = -math.inf


def yawed(angle: float, expression: float = 0.0) -> Face:
    pose = np.zeros(15)
    pose[1] = angle
    return face_of(np.full(50, expression), pose)


def read(buffer: JitterBuffer, time: float, dropout: str = "hold") -> tuple[float, float]:
    """Head's yaw and the first expression."""
    face = buffer.read(np.full((1, CHANNELS), time), DROPOUTS[dropout]).face
    return float(axis_angles(face.turns)[0, 1]), float(face.expression[0, 0])


def filled(order: list[int]) -> JitterBuffer:
    buffer = JitterBuffer()
    for index in order:
        assert not buffer.insert(index / 30, yawed(0.1 * index**2, 0.1 * index), FOREVER, 1 / 30)
    return buffer


def test_quaternions_turn_as_matrices_do() -> None:
    first, second = RNG.normal(size=(2, 4, 15)).astype(np.float32)
    together = axis_angles(product(quaternions(first), quaternions(second))).astype(np.float32)
    np.testing.assert_allclose(rotations(together), rotations(first) @ rotations(second), atol=1e-5)
    back = axis_angles(product(quaternions(first), inverse(quaternions(first))))
    np.testing.assert_allclose(back, 0, atol=1e-7)
    small = 0.1 * first
    np.testing.assert_allclose(axis_angles(quaternions(small)), small, atol=1e-7)


def test_plus_is_the_inverse_of_minus() -> None:
    one, other = (face_of(RNG.normal(size=50), 2 * RNG.normal(size=15)) for _ in range(2))
    again = other.plus(one.minus(other))
    np.testing.assert_allclose(again.expression, one.expression)
    np.testing.assert_allclose(again.minus(one), 0, atol=1e-6)


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 1, 0, 2], [1, 3, 2, 0]])
def test_order_of_arrival_does_not_matter(order: list[int]) -> None:
    buffer = filled(order)
    tidy = filled([0, 1, 2, 3])
    for time in np.linspace(-0.1, 0.2, 31):
        assert read(buffer, time, "predict") == pytest.approx(read(tidy, time, "predict"))
    assert read(buffer, 1.5 / 30) == pytest.approx((0.25, 0.15))
    assert read(buffer, -1.0) == pytest.approx((0.0, 0.0))


def test_bones_turn_evenly_by_the_shorter_way() -> None:
    buffer = JitterBuffer()
    for time, angle in ((0.0, 3.0), (1.0, -3.0)):
        buffer.insert(time, yawed(angle), FOREVER, 1 / 30)
    angles = [read(buffer, time)[0] % (2 * math.pi) for time in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert np.diff(angles) == pytest.approx([(2 * math.pi - 6) / 4] * 4)


def test_doubles_and_latecomers_are_refused() -> None:
    buffer = filled([0, 1, 3])
    assert buffer.insert(1 / 30, yawed(9), FOREVER, 1 / 30) == "repeated"
    assert buffer.insert(0.5 / 30, yawed(9), 2 / 30, 1 / 30) == "late"
    assert not buffer.insert(1.5 / 30, yawed(0.2), 2 / 30, 1 / 30), (
        "still the nearest before what is shown"
    )
    assert not buffer.insert(2.5 / 30, yawed(0.6), 2 / 30, 1 / 30)
    assert buffer.times * 30 == pytest.approx([0, 1, 1.5, 2.5, 3])


@pytest.mark.parametrize("shown", [FOREVER, math.inf])
def test_the_buffer_stays_small(shown: float) -> None:
    buffer = JitterBuffer()
    for index in range(3 * BUFFER_CAPACITY):
        buffer.insert(index / 30, yawed(0.0), shown, 1 / 30)
    assert buffer.count == (BUFFER_CAPACITY if shown == FOREVER else 6)
    assert buffer.newest == pytest.approx((3 * BUFFER_CAPACITY - 1) / 30)


def test_a_steady_turn_goes_on_and_stops() -> None:
    buffer = JitterBuffer()
    for index in range(6):
        buffer.insert(index / 30, yawed(index / 30, index / 30), FOREVER, 1 / 30)
    assert read(buffer, 6 / 30, "predict")[0] == pytest.approx(6 / 30, abs=1e-6)
    assert read(buffer, 9.0, "predict")[0] == pytest.approx(5 / 30 + 0.07, abs=1e-6)
    assert read(buffer, 9.0, "hold")[0] == pytest.approx(5 / 30 + 0.045, abs=1e-6)


def test_a_lid_is_not_predicted_beyond_its_range() -> None:
    buffer = JitterBuffer()
    for index in range(60):  # blinks between 0 and 1
        buffer.insert(index / 30, yawed(0.0, abs(index % 8 - 4) / 4), FOREVER, 1 / 30)
    for index, value in enumerate((0.0, 0.5, 1.0)):
        buffer.insert(2 + index / 30, yawed(0.0, value), FOREVER, 1 / 30)
    assert read(buffer, 9.0, "predict")[1] == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("name", DROPOUTS)
def test_every_policy_is_smooth_in_time(name: str) -> None:
    policy = DROPOUTS[name]
    ages = np.arange(-0.1, 6, 1e-3)
    leads = policy.lead(ages)
    assert np.all(np.diff(leads) >= 0)
    np.testing.assert_allclose(
        np.diff(leads)[100:] / 1e-3, policy.speed(ages[100:-1] + 5e-4), atol=1e-6
    )
    shares, rates = np.transpose([policy.rest(age) for age in ages])
    np.testing.assert_allclose(np.diff(shares) / 1e-3, rates[1:], atol=0.01)
    assert shares[-1] == (1.0 if name == "relax" else 0.0)
    states = [policy.state(age) for age in (0.0, 0.02, 1.0, 4.0)]
    assert states == ["live", "predicted", "held", "relaxing" if name == "relax" else "held"]


class PlainOneEuro:
    """The filter of one number by the paper's Algorithms 1 and 2, with speeds of raw values."""

    def __init__(self, min_cutoff: float, beta: float, speed_cutoff: float, first: float) -> None:
        self.min_cutoff = min_cutoff
        self.beta = beta
        self.speed_cutoff = speed_cutoff
        self.raw = self.hat = first
        self.speed = 0.0

    def __call__(self, value: float, rate: float) -> float:
        alpha = self.alpha(rate, self.speed_cutoff)
        self.speed = alpha * (value - self.raw) * rate + (1 - alpha) * self.speed
        alpha = self.alpha(rate, self.min_cutoff + self.beta * abs(self.speed))
        self.raw = value
        self.hat = alpha * value + (1 - alpha) * self.hat
        return self.hat

    @staticmethod
    def alpha(rate: float, cutoff: float) -> float:
        tau = 1 / (2 * math.pi * cutoff)
        period = 1 / rate
        return 1 / (1 + tau / period)


def test_one_euro_is_the_papers() -> None:
    smoothing = Smoothing(
        min_cutoff=1.2, expression_beta=0.8, bone_beta=2.0, speed_cutoff=1.0, memory=0.0
    )
    fast = OneEuro(smoothing)
    values = np.cumsum(RNG.normal(size=(200, 51)), axis=0) / 5
    plain = [
        PlainOneEuro(1.2, 0.8 if index < 50 else 2.0, 1.0, first)
        for index, first in enumerate(values[0])
    ]
    raw = shown = face_of(values[0, :50], np.array([0, values[0, 50], *[0] * 13]))
    for row, rate in zip(values[1:], RNG.uniform(20, 90, 199), strict=True):
        face = face_of(row[:50], np.array([0, row[50], *[0] * 13]))
        shown = shown.plus(fast.step(face.minus(raw), face.minus(shown), 1 / rate, 1.2))
        raw = face
        expected = [one(value, rate) for one, value in zip(plain, row, strict=True)]
        np.testing.assert_allclose(shown.expression, expected[:50], atol=1e-9)
        turned = face_of(np.zeros(50), np.array([0, expected[50], *[0] * 13]))
        np.testing.assert_allclose(shown.minus(turned)[50:], 0, atol=1e-6)


def test_one_euro_goes_round_and_round() -> None:
    filtered = OneEuro(Smoothing())
    raw = yawed(0.0)
    shown = yawed(0.0)
    lags = []
    for tick in range(1, 600):
        face = yawed(2.0 * tick / 60)
        shown = shown.plus(filtered.step(face.minus(raw), face.minus(shown), 1 / 60, 5.0))
        raw = face
        lags.append(np.linalg.norm(face.minus(shown)))
    assert lags[-1] == pytest.approx(2.0 * filtered.lag[50], rel=0.01)
    assert max(lags) < 0.06


def test_smoothing_never_lags_more_than_it_may() -> None:
    for latency in (0.01, 0.03, 0.2):
        assert 1 / (2 * math.pi * Smoothing().floor_of(latency)) <= latency * (1 + 1e-9)
    assert Smoothing().floor_of(0.0) == math.inf
    with pytest.raises(
        UsageError, match="min_cutoff of the smoothing must be a positive number, got 0"
    ):
        Smoothing(min_cutoff=0)


@pytest.mark.parametrize(
    ("offset", "speed"), [(0.001, 0.0), (0.1, 0.0), (0.5, 0.0), (2.0, 0.0), (0.1, 5.0), (0.0, 8.0)]
)
def test_a_correction_begins_where_it_is_and_spares_the_neck(offset: float, speed: float) -> None:
    correction = Correction()
    head = np.zeros(65)
    head[51] = 1
    correction.restart(offset * head, speed * head)
    track = np.array([offset, *(correction.step(1e-3)[51] for _ in range(3000))])
    assert (track[1] - track[0]) / 1e-3 == pytest.approx(speed, abs=0.5)
    assert np.abs(np.diff(track, 2)).max() / 1e-6 < 3.05 * ACCELERATIONS[50]
    assert abs(track[-1]) < 1e-6
    if offset == 0.001:
        assert abs(track[100]) < 0.02 * offset


def test_neutral_is_neutral() -> None:
    np.testing.assert_array_equal(NEUTRAL.pose(), 0)
