"""JitterBuffer: faces in order of capture, whatever the order they came in, and the motion between and beyond them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from imavatar_deploy.conventions import BONES, CONDITION_SIZE, EXPRESSION_SIZE, POSE_SIZE
from imavatar_deploy.kinematics import axis_angles

from .face_state import CHANNEL_OF, CHANNELS, Double, Face

# Range of motion: the extremes of expressions and jaw so far, which no prediction and no correction exceeds.
#
# A lid that is carried on past shut, or a jaw past closed, is visible at once. While the range grows, the face moves
# further than before and there is no limit yet: a limit that moves with every face would show as steps.


AHEAD = 3.0
"""Times the last growth that is left free: predictions are two faces of 30 a second long."""

FORGETS = 0.8
"""Of that freedom, what is left with the next face."""

_JAW = slice(BONES.index("jaw"), BONES.index("jaw") + 1)


class PacketHistory:
    """`low` and `high`, `[53]`: 50 expressions and the jaw's axis-angle; neutral is always within."""

    def __init__(self) -> None:
        self._most = np.zeros((2, CONDITION_SIZE))  # of -x and of x, so that both only grow
        self._free: Double = np.zeros((2, CONDITION_SIZE))
        self.low: Double = -self._most[0]
        self.high: Double = self._most[1]

    def note(self, face: Face) -> None:
        """A face was seen."""
        values = np.concatenate([face.expression, axis_angles(face.turns[_JAW])])
        both = np.array([-values, values])
        growth = np.maximum(both - self._most, 0.0)
        self._most += growth
        self._free = np.maximum(FORGETS * self._free, AHEAD * growth)
        reach = self._most + self._free
        self.low, self.high = -reach[0], reach[1]


# What a face does while no newer one comes: the table of `--on-loss`.


@dataclass(frozen=True)
class Dropout:
    """One row: how far a motion is carried on, and when the face rests."""

    description: str
    carries: float
    """Seconds for which the motion is carried on at its last speed."""
    fades: float
    """Seconds in which the speed then fades to nothing."""
    grace: float
    """Seconds after which the face, held until then, begins to relax."""
    eases: float
    """Seconds that it takes to come to neutral."""

    def lead(self, age: Double) -> Double:
        """Seconds of the last speed that are added where a channel is `age` seconds beyond the newest face."""
        fading = np.minimum(np.maximum(age - self.carries, 0.0), self.fades)
        return np.asarray(
            np.minimum(np.maximum(age, 0.0), self.carries)
            + fading * (1 - fading / (2 * self.fades))
        )

    def speed(self, age: Double) -> Double:
        """The share of the last speed that is left, the derivative of `lead`."""
        return np.asarray(
            1 - np.minimum(np.maximum(age - self.carries, 0.0), self.fades) / self.fades
        )

    def state(self, age: float) -> str:
        """What that is called: `live` while there are newer faces, then `predicted`, `held`, `relaxing`."""
        if age <= 0:
            return "live"
        if age > self.grace:
            return "relaxing"
        return "predicted" if age < self.carries + self.fades else "held"

    def rest(self, age: float) -> tuple[float, float]:
        """How neutral the face is, 0..1, and how fast that grows, per second (smoothstep: begins and ends gently)."""
        share = min(max((age - self.grace) / self.eases, 0.0), 1.0)
        return share * share * (3 - 2 * share), 6 * share * (1 - share) / self.eases


FRAME, FADES = 0.04, 0.06
"""A face is up to 33 ms old, always, at 30 a second: for that long nothing fades. With 70 ms of motion carried on in
all, a brisk head-shake that is cut off does not run away."""

STOPS = 0.01
"""Seconds in which a face stops that is to be held."""

DROPOUTS = {
    "hold": Dropout("stay as last seen", carries=FRAME, fades=STOPS, grace=math.inf, eases=1.0),
    "predict": Dropout(
        "carry the motion on for a moment, then stay", FRAME, FADES, grace=math.inf, eases=1.0
    ),
    "relax": Dropout(
        "predict, and after two seconds ease to neutral", FRAME, FADES, grace=2.0, eases=1.2
    ),
}
"""The table."""

ROOM = 256
"""Faces: two seconds of 120 a second."""

KEPT = 5
"""Faces kept before the moment shown: the one that it lies behind, and what its speed is measured from."""

SLOW = 3
"""Intervals over which a slow motion's speed is measured."""

SLOWLY = np.repeat([0.7**2, 0.5**2], [EXPRESSION_SIZE, POSE_SIZE])
"""[65] squares of what is slow: three times the noise of a webcam's tracker, units or radians a second."""

CLOSEST = 5e-4
"""Seconds: two faces nearer than this are one, sent twice."""

FASTEST_TURN = 10.0
"""Radians a second of a prediction; a head that seems faster is a tracker's mistake."""

_EXPRESSION, _BONES = np.arange(EXPRESSION_SIZE), np.arange(CHANNELS - EXPRESSION_SIZE)

_ENTRIES = np.arange(len(CHANNEL_OF))


class Reading(NamedTuple):
    """The motion at one moment of each channel."""

    face: Face
    speed: Double
    """[..., 65] a second."""


class JitterBuffer:
    """Times are the sender's, in seconds."""

    def __init__(self) -> None:
        self.count = 0
        self._times = np.zeros(ROOM)
        self._faces = Face(np.zeros((ROOM, EXPRESSION_SIZE)), np.zeros((ROOM, len(_BONES), 4)))
        self._slopes = np.zeros(
            (ROOM, len(CHANNEL_OF))
        )  # the speed to the next face; of the newest, its own
        self.seen = PacketHistory()

    @property
    def newest(self) -> float:
        """Time of the newest face."""
        return float(self._times[self.count - 1])

    @property
    def times(self) -> Double:
        """Times of the faces that are kept."""
        return self._times[: self.count].copy()

    def clear(self) -> None:
        """Forget all faces, but not how far they went: what is shown may still be there."""
        self.count = 0

    def insert(self, time: float, face: Face, shown: float, interval: float) -> str:
        """Take a face in; the reason why not: `repeated`, `late`, or empty.

        Args:
            time: when it was captured.
            face: what was.
            shown: the moment now shown; a face is late when it is no newer than the one before that moment.
            interval: seconds between two faces of the source.
        """
        self._make_room(shown)
        place = int(np.searchsorted(self._times[: self.count], time))
        near = self._times[max(place - 1, 0) : min(place + 1, self.count)]
        if len(near) and np.abs(near - time).min() < CLOSEST:
            return "repeated"
        if place < self.count and self._times[place] <= shown:
            return "late"
        self._put(place, time, face)
        self._measure(place, interval)
        return ""

    def read(self, times: Double, dropout: Dropout) -> Reading:
        """The motion at `times` `[R, 55]`, one for each channel.

        Between two faces expressions change evenly and bones turn evenly along the shortest arc (slerp). Beyond the
        newest the motion goes on as `dropout` says, and no expression leaves the range that it has been seen in.
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
        low, high = self.seen.low[:EXPRESSION_SIZE], self.seen.high[:EXPRESSION_SIZE]
        return Reading(
            Face(np.clip(moved.expression, low, high), moved.turns), slopes * left[:, CHANNEL_OF]
        )

    def _make_room(self, shown: float) -> None:
        past = int(np.searchsorted(self._times[: self.count], shown, side="right")) - KEPT
        gone = max(past, self.count + 1 - ROOM, 0)
        if gone > 0:
            left = self.count - gone
            for array in (self._times, *self._faces, self._slopes):
                array[:left] = array[gone : self.count]
            self.count = left

    def _put(self, place: int, time: float, face: Face) -> None:
        for array, value in (
            (self._times, time),
            (self._faces.expression, face.expression),
            (self._faces.turns, face.turns),
        ):
            array[place + 1 : self.count + 1] = array[place : self.count]
            array[place] = value
        self._slopes[place + 1 : self.count + 1] = self._slopes[place : self.count]
        self.seen.note(face)
        self.count += 1

    def _measure(self, place: int, interval: float) -> None:
        """The speeds that a new face changes."""
        for index in range(max(place - 1, 0), min(place + 1, self.count - 1)):
            elapsed = self._times[index + 1] - self._times[index]
            self._slopes[index] = self._face(index + 1).minus(self._face(index)) / elapsed
        self._slopes[self.count - 1] = self._own_speed(interval)

    def _own_speed(self, interval: float) -> Double:
        """The speed of the newest face: of a slow motion over three intervals, of a fast one as it is at its end.

        The former has a third of the noise, the latter no lag: the last interval's speed is half an interval old.
        """
        first = max(self.count - 1 - SLOW, 0)
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
            slow += pace / (pace + SLOWLY) * (at_end - slow)
        np.clip(slow[EXPRESSION_SIZE:], -FASTEST_TURN, FASTEST_TURN, out=slow[EXPRESSION_SIZE:])
        return np.asarray(slow)

    def _face(self, index: int) -> Face:
        return Face(self._faces.expression[index], self._faces.turns[index])
