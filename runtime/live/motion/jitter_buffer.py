"""JitterBuffer: faces in order of capture, and the motion between and beyond them.

`DROPOUTS` is the table of `--on-loss`: how a motion continues beyond the newest face.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from imavatar_deploy.arrays import Array, Float64
from imavatar_deploy.conventions import BONES, CONDITION_SIZE, EXPRESSION_SIZE, POSE_SIZE
from imavatar_deploy.kinematics import axis_angles

from .face_state import CHANNEL_OF, CHANNELS, Face

# Range of motion: the extremes of expressions and jaw so far
#
# Predictions and corrections are clipped to this range, because an eyelid or a jaw that moves past
# its closed position is visible at once. While the range grows, it is extended by a headroom: the
# face is moving further than before, and clipping at its newest position would show as steps.

HEADROOM_FACTOR = 3.0
"""Headroom as a multiple of the last growth: a prediction spans two intervals at 30 faces a
second."""

HEADROOM_DECAY = 0.8
"""Factor by which each further face reduces the headroom."""

_JAW = slice(BONES.index("jaw"), BONES.index("jaw") + 1)


class MotionRange:
    """Limits `low` and `high`, `[53]`: 50 expressions and the jaw's axis-angle; they include 0."""

    def __init__(self) -> None:
        self._most = np.zeros((2, CONDITION_SIZE))  # of -x and of x, so that both only grow
        self._headroom: Float64[Array, "2 53"] = np.zeros((2, CONDITION_SIZE))
        self.low: Float64[Array, "53"] = -self._most[0]
        self.high: Float64[Array, "53"] = self._most[1]

    def include(self, face: Face) -> None:
        """Extend the range to a face."""
        values = np.concatenate([face.expression, axis_angles(face.turns[_JAW])])
        both = np.array([-values, values])
        growth = np.maximum(both - self._most, 0.0)
        self._most += growth
        self._headroom = np.maximum(HEADROOM_DECAY * self._headroom, HEADROOM_FACTOR * growth)
        reach = self._most + self._headroom
        self.low = -reach[0]
        self.high = reach[1]


# Dropouts: the table of `--on-loss`
#
# A dropout is a time without new faces, and a row of the table states what the avatar does in it.
# The age of a stream is the time since its newest face. With growing age these states follow:
#
#     live        newer faces are in the buffer (age <= 0)
#     predicted   the motion continues at its last speed for `carry_seconds`, then the speed
#                 decreases to zero in `fade_seconds`
#     held        the face stands still until the age is `relax_after`
#     relaxing    the face moves to neutral in `relax_seconds`, and stays there


@dataclass(frozen=True)
class Dropout:
    """A row of the table of `--on-loss`: what the face does while no newer one arrives."""

    description: str
    carry_seconds: float
    """Seconds for which the motion continues at its last speed."""
    fade_seconds: float
    """Seconds in which the speed then decreases to zero."""
    relax_after: float
    """Age in seconds at which the face begins to move to neutral."""
    relax_seconds: float
    """Seconds that the motion to neutral takes."""

    def lead(self, age: Float64[Array, "..."]) -> Float64[Array, "..."]:
        """Seconds to extrapolate at the last speed, `age` seconds after the newest face."""
        fading = np.minimum(np.maximum(age - self.carry_seconds, 0.0), self.fade_seconds)
        return np.asarray(
            np.minimum(np.maximum(age, 0.0), self.carry_seconds)
            + fading * (1 - fading / (2 * self.fade_seconds))
        )

    def speed(self, age: Float64[Array, "..."]) -> Float64[Array, "..."]:
        """The speed as a share of the last one: the derivative of `lead`."""
        return np.asarray(
            1
            - np.minimum(np.maximum(age - self.carry_seconds, 0.0), self.fade_seconds)
            / self.fade_seconds
        )

    def state(self, age: float) -> str:
        """Name of the state: `live`, `predicted`, `held` or `relaxing`."""
        if age <= 0:
            return "live"
        if age > self.relax_after:
            return "relaxing"
        return "predicted" if age < self.carry_seconds + self.fade_seconds else "held"

    def rest(self, age: float) -> tuple[float, float]:
        """Share of the way to neutral, 0..1, and its growth per second (smoothstep)."""
        share = min(max((age - self.relax_after) / self.relax_seconds, 0.0), 1.0)
        return share * share * (3 - 2 * share), 6 * share * (1 - share) / self.relax_seconds


CARRY_SECONDS = 0.04
"""Seconds of prediction at full speed; at 30 faces a second a face is up to 33 ms old."""

FADE_SECONDS = 0.06
"""Seconds in which the speed of a prediction decreases to zero. A prediction amounts to 70 ms of
motion in all, so that the head does not overshoot when a brisk shake is cut off."""

STOP_SECONDS = 0.01
"""Seconds in which the motion stops in the row `hold`."""

DROPOUTS = {
    "hold": Dropout(
        "stay as last seen",
        carry_seconds=CARRY_SECONDS,
        fade_seconds=STOP_SECONDS,
        relax_after=math.inf,
        relax_seconds=1.0,
    ),
    "predict": Dropout(
        "carry the motion on for a moment, then stay",
        CARRY_SECONDS,
        FADE_SECONDS,
        relax_after=math.inf,
        relax_seconds=1.0,
    ),
    "relax": Dropout(
        "predict, and after two seconds ease to neutral",
        CARRY_SECONDS,
        FADE_SECONDS,
        relax_after=2.0,
        relax_seconds=1.2,
    ),
}
"""The table of `--on-loss`."""

# The buffer

BUFFER_CAPACITY = 256
"""Largest number of faces in the buffer: two seconds at 120 a second."""

PAST_FACES = 5
"""Faces kept before the time on display: the one before it, and those that its speed needs."""

SLOW_INTERVALS = 3
"""Number of intervals over which the speed of a slow motion is measured."""

SLOW_SPEEDS_SQUARED = np.repeat([0.7**2, 0.5**2], [EXPRESSION_SIZE, POSE_SIZE])
"""[65] squares of the speeds, in units or radians a second, below which a motion counts as slow:
three times the noise of a webcam's tracker."""

DUPLICATE_SECONDS = 5e-4
"""Two faces whose times differ by less, in seconds, are duplicates."""

TURN_SPEED_LIMIT = 10.0
"""Largest speed of a bone in a prediction, radians a second; a faster one is an error of the
tracker."""

_EXPRESSION = np.arange(EXPRESSION_SIZE)
_BONES = np.arange(CHANNELS - EXPRESSION_SIZE)
_ENTRIES = np.arange(len(CHANNEL_OF))


class Reading(NamedTuple):
    """The motion at one time of each channel."""

    face: Face
    speed: Float64[Array, "... 65"]  # a second


class JitterBuffer:
    """Faces sorted by time of capture. Times are the sender's, in seconds."""

    def __init__(self) -> None:
        self.count = 0
        self._times = np.zeros(BUFFER_CAPACITY)
        self._faces = Face(
            np.zeros((BUFFER_CAPACITY, EXPRESSION_SIZE)),
            np.zeros((BUFFER_CAPACITY, len(_BONES), 4)),
        )
        # [BUFFER_CAPACITY, 65] the speed to the next face; of the newest, its own
        self._slopes = np.zeros((BUFFER_CAPACITY, len(CHANNEL_OF)))
        self.range = MotionRange()

    @property
    def newest(self) -> float:
        """Time of the newest face."""
        return float(self._times[self.count - 1])

    @property
    def times(self) -> Float64[Array, " N"]:
        """Times of the faces in the buffer."""
        return self._times[: self.count].copy()

    def clear(self) -> None:
        """Drop all faces, but keep the range of motion, in which the displayed face still is."""
        self.count = 0

    def insert(self, time: float, face: Face, display_time: float, interval: float) -> str:
        """Insert a face; return the reason for a rejection, else an empty string.

        The reason is `repeated` for a duplicate of a buffered face, or `late`.

        Args:
            time: time of capture.
            face: the face at that time.
            display_time: the time now on display. A face is late when it is no newer than the one
                before that time.
            interval: seconds between two faces of the source.
        """
        self._drop_past_faces(display_time)
        place = int(np.searchsorted(self._times[: self.count], time))
        near = self._times[max(place - 1, 0) : min(place + 1, self.count)]
        if len(near) and np.abs(near - time).min() < DUPLICATE_SECONDS:
            return "repeated"
        if place < self.count and self._times[place] <= display_time:
            return "late"
        self._put(place, time, face)
        self._measure(place, interval)
        return ""

    def read(self, times: Float64[Array, "R 55"], dropout: Dropout) -> Reading:
        """Return the motion at `times` `[R, 55]`, one for each channel.

        Between two faces expressions change linearly and bones turn evenly along the shortest arc
        (slerp). Beyond the newest the motion continues as `dropout` says. No expression leaves the
        range of motion.
        """
        last = self.count - 1
        before = np.searchsorted(self._times[: self.count], times, side="right") - 1
        np.clip(before, 0, last, out=before)
        since = np.maximum(times - self._times[before], 0.0)
        beyond = before == last
        left = np.where(beyond, dropout.speed(since), 1.0)
        since = np.where(beyond, dropout.lead(since), since)
        slopes = self._slopes[before[:, CHANNEL_OF], _ENTRIES]
        moved = Face(
            self._faces.expression[before[:, :EXPRESSION_SIZE], _EXPRESSION],
            self._faces.turns[before[:, EXPRESSION_SIZE:], _BONES],
        ).plus(slopes * since[:, CHANNEL_OF])
        low = self.range.low[:EXPRESSION_SIZE]
        high = self.range.high[:EXPRESSION_SIZE]
        return Reading(
            Face(np.clip(moved.expression, low, high), moved.turns), slopes * left[:, CHANNEL_OF]
        )

    def _drop_past_faces(self, display_time: float) -> None:
        past = (
            int(np.searchsorted(self._times[: self.count], display_time, side="right")) - PAST_FACES
        )
        dropped = max(past, self.count + 1 - BUFFER_CAPACITY, 0)
        if dropped > 0:
            kept = self.count - dropped
            for array in (self._times, *self._faces, self._slopes):
                array[:kept] = array[dropped : self.count]
            self.count = kept

    def _put(self, place: int, time: float, face: Face) -> None:
        for array, value in (
            (self._times, time),
            (self._faces.expression, face.expression),
            (self._faces.turns, face.turns),
        ):
            array[place + 1 : self.count + 1] = array[place : self.count]
            array[place] = value
        self._slopes[place + 1 : self.count + 1] = self._slopes[place : self.count]
        self.range.include(face)
        self.count += 1

    def _measure(self, place: int, interval: float) -> None:
        """Update the speeds that a new face changes."""
        for index in range(max(place - 1, 0), min(place + 1, self.count - 1)):
            elapsed = self._times[index + 1] - self._times[index]
            self._slopes[index] = self._face(index + 1).minus(self._face(index)) / elapsed
        self._slopes[self.count - 1] = self._newest_speed(interval)

    def _newest_speed(self, interval: float) -> Float64[Array, "65"]:
        """The speed of the newest face.

        That of a slow motion is measured over three intervals, which has a third of the noise. That
        of a fast one is extrapolated to its end, which has no lag: the last interval's speed is
        half an interval old.
        """
        first = max(self.count - 1 - SLOW_INTERVALS, 0)
        gaps = np.diff(self._times[first : self.count])
        if not len(gaps):
            return np.zeros(len(CHANNEL_OF))
        moved = self._slopes[first : self.count - 1] * gaps[:, None]
        slow = moved.sum(axis=0) / max(gaps.sum(), interval)
        fast = moved[-1] / max(gaps[-1], interval / 2)
        if len(gaps) > 1:
            before = moved[-2] / max(gaps[-2], interval / 2)
            pace = np.maximum(fast * fast, before * before)
            at_end = fast + (fast - before) * gaps[-1] / (gaps[-1] + gaps[-2])
            slow += pace / (pace + SLOW_SPEEDS_SQUARED) * (at_end - slow)
        np.clip(
            slow[EXPRESSION_SIZE:], -TURN_SPEED_LIMIT, TURN_SPEED_LIMIT, out=slow[EXPRESSION_SIZE:]
        )
        return np.asarray(slow)

    def _face(self, index: int) -> Face:
        return Face(self._faces.expression[index], self._faces.turns[index])
