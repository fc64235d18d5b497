"""The plan: which preset and how many minutes of training fit into the time."""

from __future__ import annotations

import pytest

from imavatar_deploy.create.plan import (
    DEFAULT_MINUTES,
    PRESET_TIMES,
    comparison,
    make_plan,
    most_frames,
)
from imavatar_deploy.errors import UsageError

FRAMES = 500


def test_stages_fill_the_time() -> None:
    plan = make_plan(FRAMES)
    assert plan.total == pytest.approx(DEFAULT_MINUTES)
    assert list(plan.expected) == ["track", "train", "export", "evaluate", "preview"]
    assert plan.training is not None
    assert 1.0 < plan.training < DEFAULT_MINUTES


def test_more_time_gives_a_larger_preset_and_a_longer_training() -> None:
    plans = [make_plan(FRAMES, minutes) for minutes in (8, 15, 60)]
    order = [row.name for row in PRESET_TIMES]
    assert [order.index(plan.preset) for plan in plans] == sorted(
        order.index(plan.preset) for plan in plans
    )
    lengths = [plan.training or 0.0 for plan in plans]
    assert lengths == sorted(lengths)
    assert plans[0].preset == "tiny"
    assert plans[-1].preset == "small"


def test_long_video_is_thinned_out_to_fit_into_the_time() -> None:
    assert most_frames(FRAMES, 15, None) is None
    assert most_frames(FRAMES, 15, "small") is None
    assert most_frames(100_000, None, "small") is None
    limit = most_frames(100_000, 15, None)
    assert limit == most_frames(100_000, None, None)
    assert limit is not None
    assert FRAMES < limit < (most_frames(100_000, 30, None) or 0)
    assert make_plan(limit, 15).expected["track"] == pytest.approx(0.35 * 15, rel=0.01)
    assert most_frames(100_000, 0.1, None) == 100


def test_slower_machine_trains_less() -> None:
    assert (make_plan(FRAMES, 30, factor=2.0).training or 0) < (make_plan(FRAMES, 30).training or 0)
    assert make_plan(FRAMES, 30, factor=1e9).total == pytest.approx(30)


def test_short_training_is_noted() -> None:
    assert make_plan(FRAMES).note == ""
    slow = make_plan(FRAMES, 16, factor=2.7)
    assert slow.training is not None
    assert "lacks detail" in slow.note
    minutes = float(slow.note.split("--minutes ")[1].split()[0])
    longer = make_plan(FRAMES, minutes, slow.preset, factor=2.7)
    assert longer.note == ""
    assert longer.training == pytest.approx(2.7 * PRESET_TIMES[0].training, abs=1.0)


def test_preset_alone_keeps_its_own_length() -> None:
    plan = make_plan(FRAMES, None, "small")
    assert (plan.preset, plan.training) == ("small", None)


def test_preset_and_minutes_are_both_kept() -> None:
    plan = make_plan(FRAMES, 120, "full")
    assert plan.preset == "full"
    assert plan.total == pytest.approx(120)


@pytest.mark.parametrize(
    ("minutes", "preset", "message"),
    [
        (2, None, r"--minutes 2 is too short: 500 frames with the preset tiny need about \d+"),
        (8, "small", "the preset small need"),
        (0, None, "must be a positive number"),
        (float("nan"), None, "must be a positive number"),
        (15, "smal", "did you mean 'small'"),
    ],
)
def test_impossible_plan_is_refused(minutes: float, preset: str | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_plan(FRAMES, minutes, preset)


def test_time_that_the_message_states_is_enough() -> None:
    with pytest.raises(UsageError) as refusal:
        make_plan(FRAMES, 2)
    stated = float(str(refusal.value).split("about ")[1].split()[0])
    assert make_plan(FRAMES, stated).preset == "tiny"


@pytest.mark.parametrize("available", [200, 1500, 20_000])
def test_that_time_is_enough_for_the_frames_that_it_tracks(available: int) -> None:
    """In more time more frames of a long video are tracked; a shorter clip would not help."""
    limited = most_frames(available, 3, None) or available
    with pytest.raises(UsageError) as refusal:
        make_plan(limited, 3, available=available)
    assert "clip" not in str(refusal.value)
    stated = int(str(refusal.value).split("about ")[1].split()[0])
    enough = most_frames(available, stated, None) or available
    assert make_plan(enough, stated, available=available).preset == "tiny"
    fewer = most_frames(available, stated - 1, None) or available
    with pytest.raises(UsageError):
        make_plan(fewer, stated - 1, available=available)


def test_a_smaller_preset_is_advised_where_there_is_one() -> None:
    with pytest.raises(UsageError, match="or a smaller --preset"):
        make_plan(FRAMES, 8, "small")


def test_slow_tracking_shortens_training_and_does_not_end_the_work() -> None:
    plan = make_plan(FRAMES, 5, factor=4.0, refuse=False)
    assert plan.training == PRESET_TIMES[0].least


def test_plan_states_its_assumption() -> None:
    assert make_plan(FRAMES).lines()[0].endswith("15 minutes on two cores without other load")


def test_actual_minutes_are_compared_with_the_plan() -> None:
    (line,) = comparison({"track": 1.0, "train": 9.0, "export": 3.0}, {"track": 1.1, "train": 9.0})
    assert line == (
        "minutes, actual of planned: track 1.1 of 1.0, train 9.0 of 9.0, together 10.1 of 10.0"
    )


def test_minutes_without_a_plan_are_stated_alone() -> None:
    (line,) = comparison({"track": 1.0}, {"track": 5.0, "train": 9.0})
    assert line == "minutes, actual of planned: track 5.0 of 1.0, train 9.0, together 14.0"


def test_reason_of_late_stages_is_stated() -> None:
    note = comparison({"track": 1.0}, {"track": 2.2})[1]
    assert note.startswith("note: it took 2.2 times as long as planned")
    assert "no other program uses" in note
