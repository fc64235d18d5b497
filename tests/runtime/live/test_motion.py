"""The motion pipeline on simulated networks: latency, accuracy, smoothness."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live_motion import (
    DISPLAY,
    WAY,
    Shown,
    apart,
    deliveries,
    latency_of,
    newest,
    observations,
    shake,
    show,
    turning,
)

from imavatar_deploy.errors import InputError
from imavatar_deploy.runtime.live.motion import DROPOUTS, MotionPipeline, MotionSettings, Neutral
from imavatar_deploy.runtime.live.motion.jitter_buffer import FADE_SECONDS
from imavatar_deploy.runtime.live.motion.playback import ACCELERATIONS
from imavatar_deploy.runtime.sources.observation import Arrival, Observation

OPEN = "openhead"
BAD_NETWORK = {"loss": 0.2, "jitter": 0.04, "duplicate": 0.1, "burst": 0.01}


def unchanged(weights: np.ndarray, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return weights, pose


def motion(**choices: object) -> MotionPipeline:
    return MotionPipeline({OPEN: unchanged}, MotionSettings(**choices))


def observed(
    expression: float, yaw: float, time: float | None = None, sequence: int | None = None
) -> Observation:
    pose = np.zeros(15)
    pose[1] = yaw
    return Observation(OPEN, np.full(50, expression), pose, time, sequence)


def sine(
    amplitude: float, hertz: float, times: np.ndarray, ahead: float | None = 500.0
) -> list[Arrival]:
    values = amplitude * np.sin(2 * np.pi * hertz * times)
    return [
        Arrival(observed(value, value, None if ahead is None else time + ahead), time + WAY)
        for time, value in zip(times.tolist(), values, strict=True)
    ]


def lag(times: np.ndarray, values: np.ndarray, hertz: float) -> tuple[float, float]:
    """Seconds by which a sine lags behind the pushed one, and its amplitude, over whole periods."""
    phasor = 2j * np.mean(values * np.exp(-2j * np.pi * hertz * times))
    return -float(np.angle(phasor)) / (2 * np.pi * hertz) - WAY, abs(phasor)


@pytest.mark.parametrize("fps", [25, 30, 60])
@pytest.mark.parametrize(("amplitude", "hertz"), [(0.02, 0.5), (0.3, 1.0), (0.4, 2.0)])
def test_by_default_at_most_one_frame_is_added(fps: int, amplitude: float, hertz: float) -> None:
    live = motion()
    times = np.arange(8 * fps) / fps
    shown = show(live, sine(amplitude, hertz, times), np.arange(0, 8, 1 / DISPLAY))
    period = slice(-4 * int(DISPLAY) - 1, -1)
    for values in (shown.pose[:, 1], shown.expression[:, 3]):
        late, size = lag(shown.times[period], values[period], hertz)
        assert 0.6 / fps < late <= 1 / fps
        assert size == pytest.approx(amplitude, rel=0.06)
    assert live.added_latency == pytest.approx(0.85 / fps, rel=0.02)
    assert f"{850 / fps:.0f} ms added" in live.latency_note
    behind = shown.times[-1] - shown.captured[-1]
    assert behind == pytest.approx(WAY + live.added_latency, abs=0.001 + WAY), (
        "the way itself cannot be known"
    )


@pytest.mark.parametrize("latency", [0.0, 0.05, 0.1])
def test_the_latency_is_the_one_asked_for(latency: float) -> None:
    times = np.arange(240) / 30
    shown = show(motion(latency=latency), sine(0.3, 1.0, times), np.arange(0, 8, 1 / DISPLAY))
    late, size = lag(shown.times[-241:-1], shown.pose[-241:-1, 1], 1.0)
    assert late == pytest.approx(latency, abs=0.006)
    assert size == pytest.approx(0.3, rel=0.07)


def delivered(
    network: dict[str, float], seconds: float, seed: int = 0
) -> tuple[list[Arrival], np.ndarray]:
    truth = shake()
    times = np.arange(int(seconds * truth.fps)) / truth.fps
    faces = observations(truth, times, seed)
    arrivals = [
        Arrival(faces[index], arrived) for arrived, index in deliveries(times, **network, seed=seed)
    ]
    return arrivals, np.arange(0.0, seconds, 1 / DISPLAY)


def error(shown: Shown, late: float) -> np.ndarray:
    return apart(shown.pose, shake().at(shown.times - WAY - late)[1])[:, 0]


@pytest.mark.parametrize("seed", range(3))
def test_a_bad_network_neither_jerks_the_head_nor_loses_it(seed: int) -> None:
    arrivals, moments = delivered(BAD_NETWORK, 15, seed)
    live = motion()
    shown = show(live, arrivals, moments)
    naive = newest(arrivals, moments)
    clean = turning(shake().at(moments)[1], slice(0, 3))
    # two straight lines that meet in a face bend within one step of the display where the truth
    # takes two; predictions end in FADE_SECONDS; and a correction takes at most three times its
    # acceleration
    bound = 2.2 * clean + 3 * ACCELERATIONS[50] + 0.4 * 4 * np.pi / FADE_SECONDS
    assert turning(shown.pose, slice(0, 3)) < bound < 9 * clean
    assert turning(naive.pose, slice(0, 3)) > 2 * bound
    assert turning(shown.pose, slice(0, 3)) < turning(naive.pose, slice(0, 3)) / 4
    late = latency_of(shake(), shown)
    assert late < latency_of(shake(), naive) + 0.01, "the network is late, not the chain"
    assert np.sqrt(np.mean(error(shown, late) ** 2)) < 0.15
    assert live.counts["repeated"] > 20


def test_more_latency_buys_a_better_motion() -> None:
    arrivals, moments = delivered({"loss": 0.2, "jitter": 0.04, "duplicate": 0.1}, 15)
    errors = [
        np.sqrt(np.mean(error(show(motion(latency=late), arrivals, moments), late)[60:] ** 2))
        for late in (0.0, 0.1)
    ]
    assert errors[1] < 0.02 < errors[0]


@pytest.mark.parametrize("policy", DROPOUTS)
@pytest.mark.parametrize("gap", [0.1, 1.0, 10.0])
def test_a_dropout_is_bridged_and_the_return_is_smooth(policy: str, gap: float) -> None:
    begins, ends = 4.25, 4.25 + gap  # in the middle of a shake
    arrivals, moments = delivered({"jitter": 0.01}, ends + 2)
    arrivals = [one for one in arrivals if not begins < one.arrived - WAY < ends]
    shown = show(motion(dropout=policy), arrivals, moments)
    clean = turning(shake().at(moments)[1], slice(0, 3))
    assert (
        turning(shown.pose, slice(0, 3))
        < 2.2 * clean + 3 * ACCELERATIONS[50] + 0.4 * 4 * np.pi / FADE_SECONDS
    )
    before_return = np.searchsorted(shown.times, ends) - 1
    expected = {0.1: "predicted", 1.0: "held", 10.0: "relaxing" if policy == "relax" else "held"}[
        gap
    ]
    assert shown.states[before_return] == ("held" if policy == "hold" else expected)
    if gap == 10.0:
        rest = np.abs(shown.pose[before_return]).max()
        assert rest == pytest.approx(0, abs=1e-6) if policy == "relax" else rest > 0.01
    assert shown.states[-1] == "live"
    assert np.all(error(shown, 0.85 / 30)[shown.times > ends + 1] < 0.05)


@pytest.mark.parametrize("drift", [-200e-6, 200e-6])
def test_an_hour_of_drift_changes_nothing(drift: float) -> None:
    live = motion(fps=2.5)
    rate = 2.5
    behind = []
    counts = set()
    for tick in range(int(3600 * rate)):
        time = tick / rate
        live.push(Arrival(observed(0.5, 0.1 * np.sin(time), time * (1 + drift) + 1e6), time + WAY))
        if tick % 5:
            continue
        moment = live.at(time + WAY + 0.01)
        assert moment is not None
        if tick > 100:
            behind.append(time + WAY + 0.01 - moment.captured)
            counts.add(live._buffer.count)
    assert np.ptp(behind) < 0.004
    assert behind[-1] == pytest.approx(behind[0], abs=0.002)
    assert max(counts) <= 12
    assert not live.counts


def test_a_sender_that_begins_again_is_followed_without_a_jump() -> None:
    times = np.arange(180) / 30
    arrivals = sine(0.3, 0.5, times[:90], ahead=1e9) + sine(0.3, 0.5, times[90:], ahead=-3.0)
    live = motion()
    shown = show(live, arrivals, np.arange(0, 6, 1 / DISPLAY))
    assert live.counts == Counter(late=3, restarted=1)
    assert turning(shown.pose, slice(0, 3)) < 3 * ACCELERATIONS[50]
    after = shown.times > 4
    expected = 0.3 * np.sin(np.pi * (shown.times - WAY - live.added_latency))
    assert np.abs(shown.pose[:, 1] - expected)[after].max() < 0.01
    assert all(earlier <= later for earlier, later in pairwise(shown.captured))


@pytest.mark.parametrize("numbered", [False, True])
def test_without_times_the_arrival_counts(numbered: bool) -> None:
    times = np.arange(300) / 30
    rng = np.random.default_rng(0)
    values = 0.3 * np.sin(np.pi * times)
    arrivals = [
        Arrival(
            observed(value, value, None, index if numbered else None),
            time + WAY + 0.01 * rng.uniform(),
        )
        for index, (time, value) in enumerate(zip(times.tolist(), values, strict=True))
    ]
    live = motion()
    shown = show(live, arrivals + arrivals[-1:], np.arange(0, 10, 1 / DISPLAY))
    late, size = lag(shown.times[-241:-1], shown.pose[-241:-1, 1], 0.5)
    assert 0 < late < 1 / 30 + 0.01
    assert size == pytest.approx(0.3, rel=0.05)
    assert turning(shown.pose[30:], slice(0, 3)) < 3 * 0.3 * np.pi**2
    assert set(shown.states) == {"live"}


@pytest.mark.parametrize("copies", [2, 3])
def test_duplicates_of_a_sender_faster_than_its_tracker_are_rejected(copies: int) -> None:
    times = np.arange(300 * copies) / (30 * copies)
    moved = 0.3 * np.sin(2 * np.pi * np.floor(times * 30 + 1e-9) / 30)
    arrivals = [
        Arrival(observed(one, one, time), time + WAY)
        for time, one in zip(times.tolist(), moved, strict=True)
    ]
    live = motion()
    shown = show(live, arrivals, np.arange(0, 10, 1 / DISPLAY))
    late, size = lag(shown.times[-241:-1], shown.pose[-241:-1, 1], 1.0)
    assert late < 1 / 30
    assert size == pytest.approx(0.3, rel=0.05)
    assert live.added_latency == pytest.approx(0.85 / 30, rel=0.02)
    assert live.counts["unchanged"] == pytest.approx(300 * (copies - 1), rel=0.1)


def test_a_face_that_stands_still_stays_live() -> None:
    live = motion()
    shown = show(
        live,
        [Arrival(observed(0.5, 0.2, tick / 30), tick / 30) for tick in range(300)],
        np.arange(1, 10, 1 / DISPLAY),
    )
    assert set(shown.states) == {"live"}
    assert live.counts["unchanged"] < 5
    assert live.added_latency == pytest.approx(0.85 / 30, rel=0.02)
    assert np.ptp(shown.pose[:, 1]) == 0


def test_calibrating_again_makes_the_present_face_neutral() -> None:
    live = motion(calibration=0.5)
    poses = []
    smiles = []
    for tick in range(90):
        if tick == 30:
            live.recalibrate()
        assert live.calibrating == (30 < tick <= 45) or tick in (30, 45, 46)
        live.push(Arrival(observed(0.4, 0.7, tick / 30), tick / 30))
        moment = live.at(tick / 30)
        assert moment is not None
        poses.append(moment.pose)
        smiles.append(moment.expression[7])
        if tick < 30:
            assert moment.pose[1] == pytest.approx(0.7, abs=1e-3)
    assert not live.calibrating
    assert turning(np.array(poses), slice(0, 3)) < 4 * 3 * ACCELERATIONS[50], (
        "twice the steps of the display"
    )
    assert 0.01 < np.abs(np.diff(smiles)).max() < 0.2, "of 0.4"
    assert np.abs(moment.expression).max() < 1e-3
    assert np.abs(moment.pose).max() < 1e-3
    assert live.neutral is not None
    assert live.neutral.pose[1] == pytest.approx(0.7, abs=1e-6)
    calibrated = motion(neutral=live.neutral)
    calibrated.push(Arrival(observed(0.4, 0.7, 0.0), 0.0))
    shown = calibrated.at(0.1)
    assert shown is not None
    assert np.abs(shown.pose).max() < 1e-6


def test_provisional_faces_are_shown_and_do_not_calibrate() -> None:
    """A camera's first faces are those of a mean head, and not of the person at rest."""
    live = motion(calibration=0.5)
    live.recalibrate()
    for tick in range(60):
        value = 0.9 if tick < 30 else 0.4
        face = replace(observed(value, value, tick / 30), provisional=tick < 30)
        live.push(Arrival(face, tick / 30))
        moment = live.at(tick / 30)
        assert moment is not None
        if tick == 29:
            assert live.calibrating
            assert moment.pose[1] == pytest.approx(0.9, abs=1e-3)
    assert live.neutral is not None
    assert live.neutral.pose[1] == pytest.approx(0.4, abs=1e-6)


@pytest.mark.parametrize("local", [False, True])
def test_a_camera_of_this_machine_has_the_time_of_tracking_in_its_latency(local: bool) -> None:
    live = motion(local_clock=local)
    tracking = 0.03
    for tick in range(60):
        live.push(Arrival(observed(0.4, 0.7, 5 + tick / 30), 5 + tick / 30 + tracking))
        now = 5 + tick / 30 + tracking
        moment = live.at(now)
    assert moment is not None
    behind = now - moment.captured
    assert behind == pytest.approx(live.added_latency + (tracking if local else 0), abs=1e-3)


def test_foreign_and_impossible_faces_are_counted_and_dropped() -> None:
    def careless(weights: np.ndarray, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return weights * np.float32("nan"), pose

    def strict(weights: np.ndarray, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        raise InputError("another size")

    counts: Counter[str] = Counter()
    live = MotionPipeline(
        {OPEN: unchanged, "flame2020": careless, "flame2023": strict}, MotionSettings(), counts
    )
    assert live.at(0.0) is None
    for vocabulary in ("flame2020", "flame2023", "flame2017"):
        live.push(Arrival(Observation(vocabulary, np.zeros(50), np.zeros(15)), 1.0))
    live.push(Arrival(Observation("arkit52", np.zeros(52), np.zeros(15)), 1.0))
    live.push(Arrival(observed(1e9, 0.0), 1.0))
    assert live.at(2.0) is None
    assert counts == Counter(foreign=3, malformed=2)
    live.push(Arrival(observed(0.25, 0.1), 3.0))
    moment = live.at(3.0)
    assert moment is not None
    assert (moment.expression[0], moment.state) == (0.25, "live")
    assert live.at(2.0) is moment, "time does not go back"


def test_limits_hold_and_neutral_moves_with_gains() -> None:
    from imavatar_deploy.runtime.live.motion import read_adjustment

    adjustment = read_adjustment(
        ["3=0:0.2", "4=2", "neck=0:0.1"], [f"e{index}" for index in range(50)]
    )
    live = motion(
        adjustment=adjustment, head="neck", neutral=Neutral(np.full(50, 0.1), np.zeros(15))
    )
    shown = show(live, sine(0.5, 1.0, np.arange(90) / 30), np.arange(0, 3, 1 / DISPLAY))
    assert shown.expression[:, 3].min() == 0
    assert shown.expression[:, 3].max() == pytest.approx(0.2)
    assert shown.expression[60:, 4].min() == pytest.approx(-1.2, abs=0.05)
    assert np.all(shown.pose[:, :3] == 0)
    assert np.abs(shown.pose[:, 4]).max() == pytest.approx(0.1)


NUMBERS = st.floats(-9e3, 9e3, width=32)
TIMES = st.one_of(st.none(), st.floats(-10, 10), st.floats(allow_nan=False, allow_infinity=False))


@given(
    st.lists(
        st.tuples(
            st.one_of(
                st.tuples(TIMES, st.one_of(st.none(), st.integers(-5, 2**40)), NUMBERS, NUMBERS),
                st.none(),
            ),
            st.floats(0, 12),
        ),
        max_size=25,
    ),
    st.sampled_from([None, 0.0, 0.3]),
    st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_any_observations_give_finite_and_limited_motion(
    events: list, latency: float | None, again: bool
) -> None:
    live = motion(latency=latency)
    captured = -np.inf
    for number, (packet, moment_at) in enumerate(events):
        if packet:
            time, sequence, expression, yaw = packet
            live.push(Arrival(observed(expression, yaw, time, sequence), moment_at))
        if again and number == 5:
            live.recalibrate()
        moment = live.at(moment_at)
        if moment:
            assert np.isfinite(moment.expression).all()
            assert np.isfinite(moment.pose).all()
            assert moment.expression.dtype == moment.pose.dtype == np.float32
            assert np.abs(moment.pose.reshape(5, 3)).max() <= np.pi + 1e-5
            assert captured <= moment.captured < np.inf
            captured = moment.captured
            assert live._buffer.count <= 256
            assert 0 <= live.added_latency <= 0.5
