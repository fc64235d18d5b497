"""MotionSettings: what a user may choose about the motion, and reading of `--adjust`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from imavatar_deploy.conventions import BONES, EXPRESSION_SIZE
from imavatar_deploy.errors import UsageError, excerpt, unknown_name

from .calibration import Neutral
from .face_state import ANGLES, HEADS, Adjustment
from .jitter_buffer import DROPOUTS
from .playback import Smoothing

LARGEST_GAIN = 10.0
"""Largest gain; more is taken for a typing error."""

OTHER_NAMES = {"head": "global", "jawOpen": "jaw"}
"""Bones by the names that trackers use; a head model's own expression of that name comes first."""

LONGEST_LATENCY = 1.0
"""Largest latency, seconds; the buffer holds two seconds at 120 faces a second."""

LONGEST_CALIBRATION = 30.0
"""Longest calibration, seconds."""

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)"


@dataclass(frozen=True)
class MotionSettings:
    """How observations become motion; the defaults suit a webcam or a phone in the same room.

    Raises:
        UsageError: an unknown row, or a number out of range.
    """

    latency: float | None = None
    """Seconds between a face and its display, delay and smoothing together; None: one frame of the
    source."""
    fps: float = 30.0
    """Observations a second, until the stream has shown its own rate."""
    smoothing: Smoothing | None = field(default_factory=Smoothing)
    """The One-Euro filter; None: none."""
    dropout: str = "relax"
    """What is shown while no packets arrive: a row of `DROPOUTS`, the table of `--on-loss`."""
    head: str = "on"
    """What the head's rotation does, a row of `HEADS`."""
    adjustment: Adjustment = field(default_factory=Adjustment)
    """Gains and limits."""
    neutral: Neutral | None = None
    """The face that is subtracted from all others."""
    calibration: float = 1.0
    """Seconds of faces in a calibration."""
    local_clock: bool = False
    """Whether the times of observations are `time.monotonic()` of this machine."""

    def __post_init__(self) -> None:
        for kind, name, rows in (
            ("dropout", self.dropout, DROPOUTS),
            ("head motion", self.head, HEADS),
        ):
            if name not in rows:
                raise unknown_name(kind, name, rows)
        if self.latency is not None and not 0 <= self.latency <= LONGEST_LATENCY:
            raise UsageError(
                f"the latency must be 0 to {LONGEST_LATENCY:g} seconds, got {self.latency:g}"
            )
        if not 1 <= self.fps <= 1000:
            raise UsageError(
                f"the rate of a source must be 1 to 1000 observations a second, got {self.fps:g}"
            )
        if not 0 <= self.calibration <= LONGEST_CALIBRATION:
            raise UsageError(
                f"a calibration must take 0 to {LONGEST_CALIBRATION:g} seconds, "
                f"got {self.calibration:g}"
            )


def read_adjustment(texts: Iterable[str], expression_names: Sequence[str]) -> Adjustment:
    """Read `NAME=GAIN` and `NAME=LOW:HIGH`, in any number and order; the last one counts.

    Args:
        texts: NAME is an expression's name or number (from 0), or a bone's: global (or head), neck,
            jaw, eyeL, eyeR. A bone's name with `.yaw`, `.pitch` or `.roll` stands for one angle,
            whose gain may be negative: trackers differ in their signs.
        expression_names: the avatar's, 50.

    Raises:
        UsageError: an unknown name, or neither a gain nor limits.
    """
    adjustment = Adjustment()
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            _refuse(text)
        bone, _, angle = name.strip().partition(".")
        if angle and (OTHER_NAMES.get(bone, bone)) in BONES:
            _adjust_angle(adjustment, text, OTHER_NAMES.get(bone, bone), angle, value)
            continue
        channel = _channel(name.strip(), expression_names)
        if ":" in value:
            adjustment.limits[:, channel] = _limits(text, value, channel)
        else:
            adjustment.gains[channel] = _gain(text, value)
    return adjustment


def _adjust_angle(adjustment: Adjustment, text: str, bone: str, angle: str, value: str) -> None:
    """Set the gain of one angle of a bone.

    Raises:
        UsageError: there is no such angle, or the gain is out of range.
    """
    if angle not in ANGLES:
        raise unknown_name("angle", angle, ANGLES)
    if not re.fullmatch(_NUMBER, value.strip()) or abs(float(value)) > LARGEST_GAIN:
        raise UsageError(
            f"the gain of an angle must be -{LARGEST_GAIN:g} to {LARGEST_GAIN:g}, "
            f"got {excerpt(text)!r}; try {bone}.{angle}=-1"
        )
    adjustment.angle_gains[BONES.index(bone), ANGLES.index(angle)] = float(value)


def _channel(name: str, expression_names: Sequence[str]) -> int:
    if name in expression_names:
        return list(expression_names).index(name)
    bone = OTHER_NAMES.get(name, name)
    if bone in BONES:
        return EXPRESSION_SIZE + BONES.index(bone)
    if re.fullmatch(r"\d{1,3}", name) and int(name) < EXPRESSION_SIZE:
        return int(name)
    known = [*expression_names, *BONES, *OTHER_NAMES, f"0..{EXPRESSION_SIZE - 1}"]
    raise unknown_name("channel", name, known)


def _gain(text: str, value: str) -> float:
    if not re.fullmatch(_NUMBER, value.strip()) or not 0 <= float(value) <= LARGEST_GAIN:
        _refuse(text)
    return float(value)


def _limits(text: str, value: str, channel: int) -> tuple[float, float]:
    numbers = [part.strip() for part in value.split(":")]
    if len(numbers) != 2 or not all(re.fullmatch(_NUMBER, number) for number in numbers):
        _refuse(text)
    low, high = map(float, numbers)
    if low > high:
        raise UsageError(
            f"the limits {value} of {text!r} are the wrong way round; put the smaller one first"
        )
    if channel >= EXPRESSION_SIZE and low != 0:
        raise UsageError(
            f"a bone's limits are angles in radians and begin at 0, got {text!r}; "
            f"try {text.split('=')[0]}=0:0.5"
        )
    return low, high


def _refuse(text: str) -> NoReturn:
    raise UsageError(
        f"an adjustment must be NAME=GAIN with a gain of 0 to {LARGEST_GAIN:g}, or NAME=LOW:HIGH, "
        f"got {excerpt(text)!r}; try jawOpen=1.3, head.yaw=-1 or neck=0:0.5"
    )
