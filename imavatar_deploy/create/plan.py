"""Minutes of every stage, and the training that fits into the time that is allowed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from imavatar_deploy.errors import UsageError, unknown_name

DEFAULT_MINUTES = 15.0
"""Minutes from the video to the report, where neither minutes nor a preset are given."""


@dataclass(frozen=True)
class PresetTime:
    """Minutes of a preset of `imavatar-train` at 256 x 256, measured on two cores in use."""

    name: str
    warm_start: float
    """Minutes before the first step."""
    training: float
    """Minutes of the preset's own number of steps."""
    least: float
    """Smallest number of minutes of training for which the preset is chosen, at factor 1."""


PRESET_TIMES = (
    PresetTime("tiny", warm_start=0.7, training=2.8, least=1.0),
    PresetTime("small", warm_start=1.5, training=8.5, least=5.0),
)
"""From the smallest to the largest. `full` needs hours: it is chosen by `--preset` alone."""

TRACK_SECONDS = 0.12
"""Seconds a frame of `imavatar-data track` at 512 x 512."""

TRACK_START = 6.0
"""Seconds of tracking that do not depend on the number of frames."""

TRACK_SHARE = 0.35
"""Largest share of the time for tracking; frames of longer videos are left out evenly."""

MIN_FRAMES = 100
"""Frames that are tracked however short the time is, where the video has them."""

EXPORT_MINUTES = 1.5
"""Minutes of `imavatar-export --format player`: bake, student and fidelity report."""

REFINE_MINUTES = 1.2
"""Minutes that the refinement adds to the export."""

DRAW_SECONDS = 0.02
"""Seconds a frame of the preview and of the evaluation of held-out frames."""

DRAW_START = 5.0
"""Seconds in which these two commands start."""

SHORT_TRAINING = 0.7
"""Share of a preset's own length below which its avatars lack detail."""

SLOWEST = 4.0
"""Largest factor by which the measured speed of tracking changes the estimates of later stages."""

LATE = 1.25
"""Factor of the planned minutes above which a message explains the difference."""

WHY_LATE = "the plan assumes two cores that no other program uses"


@dataclass(frozen=True)
class TimePlan:
    """Preset and minutes of training, and the expected minutes of every stage."""

    preset: str
    training: float | None
    """Minutes of training without its warm start; None for the preset's own number of steps."""
    expected: Mapping[str, float]
    """Stage -> minutes."""
    note: str = ""
    """States that the training is short; empty where it is long enough."""

    @property
    def total(self) -> float:
        """Expected minutes of all stages."""
        return sum(self.expected.values())

    def lines(self) -> list[str]:
        """The plan for the user, one line a stage."""
        rows = [f"  {name:9}{minutes:6.1f} min" for name, minutes in self.expected.items()]
        training = "" if "train" in self.expected else " and the training"
        return [
            f"plan: preset {self.preset}, about {self.total:.0f} minutes{training} on two cores "
            "without other load",
            *rows,
        ]


def comparison(planned: Mapping[str, float], actual: Mapping[str, float]) -> list[str]:
    """Compare the minutes of the stages with the plan: one line, and one more where they are late.

    Args:
        planned: stage -> minutes; a stage may be missing.
        actual: stage -> minutes of every stage, in order.
    """
    pairs = [(name, f"{minutes:.1f}", planned.get(name)) for name, minutes in actual.items()]
    total, allowed = sum(actual.values()), sum(planned.get(name, 0.0) for name in actual)
    complete = actual.keys() <= planned.keys()
    pairs.append(("together", f"{total:.1f}", allowed if complete else None))
    texts = [
        f"{name} {minutes}" + ("" if plan is None else f" of {plan:.1f}")
        for name, minutes, plan in pairs
    ]
    lines = [f"minutes, actual of planned: {', '.join(texts)}"]
    if complete and total > LATE * allowed:
        lines.append(f"note: it took {total / allowed:.1f} times as long as planned; {WHY_LATE}")
    return lines


def most_frames(frames: int, minutes: float | None, preset: str | None) -> int | None:
    """Number of frames to which tracking is limited; None where all of them fit into the time.

    Args:
        frames: number of frames of the videos.
        minutes, preset: as of `make_plan`; a preset alone has no limit.
    """
    if minutes is None and preset is not None:
        return None
    seconds = 60.0 * TRACK_SHARE * (DEFAULT_MINUTES if minutes is None else minutes)
    if not math.isfinite(seconds):
        return None
    limit = max(MIN_FRAMES, int((seconds - TRACK_START) / TRACK_SECONDS))
    return limit if limit < frames else None


def make_plan(
    frames: int,
    minutes: float | None = None,
    preset: str | None = None,
    factor: float = 1.0,
    *,
    refuse: bool = True,
    export: float = EXPORT_MINUTES + REFINE_MINUTES,
    available: int | None = None,
) -> TimePlan:
    """Divide the time among the stages.

    Args:
        frames: number of frames of the dataset, or an estimate.
        minutes: time from the video to the report; `DEFAULT_MINUTES` where neither it nor a preset
            is given. With a preset alone, training has the preset's own length.
        preset: preset of `imavatar-train`; None for the largest that the time allows.
        factor: how many times slower this machine is than the one of the table.
        refuse: refuse a time that is too short, instead of the shortest training.
        export: minutes of the export at factor 1.
        available: number of frames of the videos, of which more are tracked in more time; None:
            `frames`.

    Raises:
        UsageError: the preset is unknown, or the time is too short for it.
    """
    factor = min(max(factor, 1.0 / SLOWEST), SLOWEST)
    rows = {row.name: row for row in PRESET_TIMES}
    if preset is not None and preset not in (*rows, "full"):
        raise unknown_name("preset", preset, (*rows, "full"))
    others = _other_stages(frames, factor, export)
    if minutes is None and preset is not None:
        return _own_length(preset, rows.get(preset), others, factor)
    allowed = DEFAULT_MINUTES if minutes is None else minutes
    if not (math.isfinite(allowed) and allowed > 0):
        raise UsageError(f"--minutes must be a positive number, got {allowed:g}")
    remaining = allowed - sum(others.values())
    row = _row(preset, remaining, factor)
    training = remaining - factor * row.warm_start
    if training < row.least and not refuse:
        training = row.least
        remaining = training + factor * row.warm_start
    if training < row.least:
        smaller = "" if row is PRESET_TIMES[0] else ", or a smaller --preset"
        least = _least_minutes(available or frames, allowed, preset, factor, export)
        raise UsageError(
            f"--minutes {allowed:g} is too short: {frames} frames with the preset {row.name} need "
            f"about {least} minutes; allow as many{smaller}"
        )
    return TimePlan(
        row.name,
        round(training, 1),
        _with_training(others, remaining),
        _short_training(row, training, factor, allowed),
    )


def _row(preset: str | None, remaining: float, factor: float) -> PresetTime:
    """The row of a preset, or of the largest that the remaining minutes allow."""
    if preset == "full":
        return PresetTime(
            "full", warm_start=5.0 * PRESET_TIMES[-1].warm_start, training=0, least=60
        )
    if preset is not None:
        return next(row for row in PRESET_TIMES if row.name == preset)
    return max(
        (row for row in PRESET_TIMES if remaining >= factor * (row.warm_start + row.least)),
        key=lambda row: row.training,
        default=PRESET_TIMES[0],
    )


def _least_minutes(
    available: int, minutes: float, preset: str | None, factor: float, export: float
) -> int:
    """Smallest whole number of minutes, above `minutes`, for the frames that are then tracked."""
    least = math.floor(minutes)
    training = -1.0
    row = PRESET_TIMES[0]
    while training < row.least:
        least += 1
        frames = most_frames(available, least, preset) or available
        remaining = least - sum(_other_stages(frames, factor, export).values())
        row = _row(preset, remaining, factor)
        training = remaining - factor * row.warm_start
    return least


def _short_training(row: PresetTime, training: float, factor: float, allowed: float) -> str:
    """The note on a training that is short for its preset, or an empty string."""
    own = factor * row.training
    if training >= SHORT_TRAINING * own:
        return ""
    return (
        f"the preset {row.name} takes about {own:.0f} minutes of training here and has "
        f"{training:.1f}, so that the avatar lacks detail; --minutes "
        f"{math.ceil(allowed + own - training)} trains it to its end"
    )


def _own_length(
    preset: str, row: PresetTime | None, others: Mapping[str, float], factor: float
) -> TimePlan:
    """The plan for a preset with its own number of steps; that of `full` takes hours."""
    minutes = factor * (row.warm_start + row.training) if row else 60.0 * 24.0
    return TimePlan(preset, None, _with_training(others, minutes))


def _other_stages(frames: int, factor: float, export: float) -> dict[str, float]:
    draw = (DRAW_START + DRAW_SECONDS * frames) / 60.0
    return {
        "track": factor * (TRACK_START + TRACK_SECONDS * frames) / 60.0,
        "export": factor * export,
        "evaluate": factor * draw / 2.0,
        "preview": factor * draw,
    }


def _with_training(others: Mapping[str, float], minutes: float) -> dict[str, float]:
    """Stages in their order."""
    return {"track": others["track"], "train": minutes, **dict(list(others.items())[1:])}
