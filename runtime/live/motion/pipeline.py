"""Motion: pushed what arrives, asked for the face at any moment; every time is given, no clock is read."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.conventions import BONES, EDITIONS, EXPRESSION_SIZE, JAW
from imavatar_deploy.errors import ImavatarError
from imavatar_deploy.retarget.arkit import ARKIT

from ...sources.observation import Arrival, Observation
from .calibration import Calibrator, Neutral
from .face_state import HEADS, Double, Face, face_of
from .jitter_buffer import DROPOUTS, JitterBuffer
from .playback import Playback
from .settings import MotionSettings
from .timing import (
    ArrivalClock,
    DuplicateFilter,
    IntervalEstimator,
    SenderClock,
    TimestampValidator,
)

Float = NDArray[np.float32]

Retarget = Callable[[Float, Float], tuple[Float, Float]]
"""(weights [n], pose [15]) -> (expression [50], pose [15]), in the avatar's words."""

ABSURD = 1e4
"""No code and no angle is as large; such a face is `malformed`."""

RANGES = dict.fromkeys(EDITIONS, (-10.0, 10.0)) | {"openhead": (-1.0, 1.5), ARKIT: (0.0, 1.0)}
"""What a face can be: beyond, a weight is `limited` to it. A percentage sent for a share would tear a head apart."""

ABSURD_TIME = 1e12
"""Seconds; beyond, a time has lost its milliseconds, and counts as none."""

SHARE = 0.85
"""Of a frame, the latency of `auto`: predictions lag a little, too, so that the whole stays within one frame."""

USUAL = 1.5
"""Intervals: the age of the newest face up to which nothing is amiss."""

SHORTEST_STEP = 1e-4
"""Seconds between two moments that are told apart."""

HEAD = EXPRESSION_SIZE + BONES.index("global")


class Intake:
    """Reads one observation after the other and counts those that are of no use."""

    def __init__(self, retargets: Mapping[str, Retarget], counts: Counter[str]) -> None:
        self._retargets, self._counts = retargets, counts

    def read(self, observation: Observation) -> Face | None:
        """The face in the avatar's words; None, and counted, where there is none."""
        retarget = self._retargets.get(observation.vocabulary)
        possible = np.clip(observation.weights, *RANGES[observation.vocabulary])
        try:
            expression, pose = retarget(possible, observation.pose) if retarget else (None, None)
        except ImavatarError:
            expression = None
        if expression is None or pose is None:
            self._counts["foreign"] += 1
        elif not all(
            np.abs(part).max() < ABSURD for part in (observation.weights, expression, pose)
        ):  # nor NaN
            self._counts["malformed"] += 1
        else:
            if not np.array_equal(possible, observation.weights):
                self._counts["limited"] += 1
            return face_of(expression, pose)
        return None


@dataclass(frozen=True, eq=False)
class MotionSample:
    """The face to show."""

    expression: Float  # [50]
    pose: Float  # [15] axis-angle, radians
    captured: float
    """When that was captured, on this machine's clock, as if the shortest way took no time. Never goes back."""
    state: str
    """`live`, `predicted`, `held` or `relaxing`."""


def adjusted(face: Face, settings: MotionSettings, neutral: Neutral | None) -> Face:
    """A face relative to the neutral one, with the head motion and the gains of the settings applied."""
    relative = neutral.taken_off(face) if neutral else face
    turns = HEADS[settings.head].turn(relative.turns)
    return settings.adjustment.scaled(Face(relative.expression, turns))


class MotionPipeline:
    """The whole chain: retarget, align clocks, calibrate, adjust, buffer, predict, correct, smooth."""

    def __init__(
        self,
        retargets: Mapping[str, Retarget],
        settings: MotionSettings,
        counts: Counter[str] | None = None,
    ) -> None:
        """Counts go to `counts`: `foreign`, `malformed`, `late`, `repeated`, `unchanged` (the same face again
        soon after: a sender faster than its tracker), `untimed` (shown by when it came), and `restarted` sender's
        clocks.

        Args:
            retargets: for each vocabulary that can be shown, what puts it into the avatar's words.
        """
        self.counts: Counter[str] = Counter() if counts is None else counts
        self.given = settings.neutral
        """The face at rest that it began with."""
        self.neutral: Neutral | None = settings.neutral
        """The one that is taken off every face."""
        self._settings, self._intake = settings, Intake(retargets, self.counts)
        self._spacing, self._pace = (
            IntervalEstimator(1 / settings.fps),
            ArrivalClock(1 / settings.fps),
        )
        self._clock, self._trust, self._copies = (
            SenderClock(),
            TimestampValidator(),
            DuplicateFilter(),
        )
        self._buffer, self._playback = (
            JitterBuffer(),
            Playback(DROPOUTS[settings.dropout], settings.smoothing),
        )
        self._calibrator: Calibrator | None = None
        self._moment: MotionSample | None = None
        self._now = self._shown = -math.inf
        self._changed = False

    @property
    def added_latency(self) -> float:
        """Seconds between a face's coming, by the shortest way, and its showing: delay and smoothing together."""
        latency = self._settings.latency
        return SHARE * self._spacing.interval if latency is None else latency

    @property
    def latency_note(self) -> str:
        """The same in one line for people."""
        total, lag = 1e3 * self.added_latency, 1e3 * float(self._playback.lag[HEAD])
        return f"{total:.0f} ms added: {max(total - lag, 0):.0f} of delay and {lag:.0f} of smoothing (head, now)"

    @property
    def calibrating(self) -> bool:
        """Whether faces are being gathered for a new neutral one."""
        return self._calibrator is not None

    def recalibrate(self) -> None:
        """Make the face of the next `calibration` seconds the neutral one."""
        self._calibrator = Calibrator(self._settings.calibration)

    def push(self, arrival: Arrival) -> None:
        """Take in what arrived, in any order, and count it when it is of no use. Never raises."""
        observation, arrived = arrival
        seen = self._intake.read(observation)
        if seen is None:
            return
        sent, restarts = self._time_of(observation, arrived), self._clock.restarts
        if not self._clock.add_packet(sent, arrived):
            self.counts["late"] += 1
            return
        if self._clock.restarts > restarts:
            self._begin_anew()
        kind = self._copies.classify(
            observation.weights, observation.pose, sent, self._spacing.interval
        )
        if kind == "copy":
            self.counts["unchanged"] += 1
            return
        if self._calibrator and (neutral := self._calibrator.add(seen, arrived)):
            self.neutral, self._calibrator = neutral, None
            self._buffer.clear()
        trouble = self._buffer.insert(
            sent, adjusted(seen, self._settings, self.neutral), self._shown, self._spacing.interval
        )
        if trouble:
            self.counts[trouble] += 1
            return
        self._spacing.note(sent, kind == "new")
        self._changed = True

    def at(self, now: float) -> MotionSample | None:
        """The face to show at `now`, which should grow; None before the first face came."""
        if not self._buffer.count or (self._moment and now - self._now < SHORTEST_STEP):
            return self._moment
        sender, elapsed = self._clock.at(now), now - self._now
        face = self._playback.step(self._buffer, sender, elapsed, self.added_latency, self._changed)
        self._now, self._shown, self._changed = now, sender - self.added_latency, False
        self._moment = self._moment_of(face)
        return self._moment

    def _moment_of(self, face: Face) -> MotionSample:
        expression, pose = self._settings.adjustment.limited(*self._as_seen(face))
        age = self._shown - self._buffer.newest
        beyond = float(self._playback.dropout.lead(np.asarray(age)))
        captured = self._clock.local(self._shown if age <= 0 else self._buffer.newest + beyond)
        if self._moment:
            captured = max(captured, self._moment.captured)
        return MotionSample(
            expression.astype(np.float32), pose.astype(np.float32), captured, self._state(age)
        )

    def _state(self, age: float) -> str:
        due = USUAL * self._spacing.interval - self.added_latency
        return "live" if age <= due else self._playback.dropout.state(age)

    def _as_seen(self, face: Face) -> tuple[Double, Double]:
        """Expression and pose; no lid and no jaw goes further than it has been seen to, even in a correction."""
        low, high = self._buffer.seen.low, self._buffer.seen.high
        pose = face.pose()
        pose[JAW] = np.minimum(np.maximum(pose[JAW], low[EXPRESSION_SIZE:]), high[EXPRESSION_SIZE:])
        return np.minimum(
            np.maximum(face.expression, low[:EXPRESSION_SIZE]), high[:EXPRESSION_SIZE]
        ), pose

    def _time_of(self, observation: Observation, arrived: float) -> float:
        time = observation.time
        usable = time is not None and abs(time) < ABSURD_TIME
        if time is not None and usable and observation.sequence is None:
            self._trust.add_packet(time, arrived)
        if time is not None and usable and not self._trust.lost:
            return time
        self.counts["untimed"] += 1
        return self._pace.moment(arrived, observation.sequence)

    def _begin_anew(self) -> None:
        """The sender's clock is another one: what is shown goes on, the times do not."""
        self.counts["restarted"] += 1
        self._buffer.clear()
        self._spacing.reset()
        self._copies.reset()
        self._playback.forget_times()
        self._shown = -math.inf
