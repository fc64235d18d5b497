"""MotionPipeline: observations that arrive at any time -> the face to show at any time.

No clock is read here: every function receives its times.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from imavatar_deploy.arrays import Array, Float32, Float64
from imavatar_deploy.conventions import BONES, EDITIONS, EXPRESSION_SIZE, JAW
from imavatar_deploy.errors import ImavatarError
from imavatar_deploy.retarget.arkit import ARKIT

from ...sources.observation import Arrival, Observation
from .calibration import Calibrator, Neutral
from .face_state import HEADS, Face, face_of
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

Retarget = Callable[
    [Float32[Array, " n"], Float32[Array, "15"]], tuple[Float32[Array, "50"], Float32[Array, "15"]]
]
"""(weights `[n]`, pose `[15]`) -> (expression `[50]`, pose `[15]`) of the avatar."""

VALUE_LIMIT = 1e4
"""Largest magnitude of a code or an angle (radians); a face beyond it is `malformed`."""

WEIGHT_RANGES = dict.fromkeys(EDITIONS, (-10.0, 10.0)) | {
    "openhead": (-1.0, 1.5),
    ARKIT: (0.0, 1.0),
}
"""Range of the weights of a face, by vocabulary. A weight beyond it is clipped
and counted as `limited`, such as a percentage sent in place of a share."""

TIME_LIMIT = 1e12
"""Largest usable time, seconds; a float64 beyond it does not resolve milliseconds."""

AUTO_LATENCY_SHARE = 0.85
"""The latency `auto`, as a share of the interval between faces: predictions lag as well, and the
sum is at most one interval."""

LIVE_INTERVALS = 1.5
"""Age of the newest face, in intervals, up to which a stream counts as live."""

SAME_SAMPLE_SECONDS = 1e-4
"""Calls of `at` that follow one another within so many seconds return the same sample."""

HEAD_CHANNEL = EXPRESSION_SIZE + BONES.index("global")


class Intake:
    """Converts observations to faces of the avatar and counts those that cannot be used."""

    def __init__(self, retargets: Mapping[str, Retarget], counts: Counter[str]) -> None:
        self._retargets = retargets
        self._counts = counts

    def read(self, observation: Observation) -> Face | None:
        """Return the face of the avatar; None, and count the reason, where there is none."""
        retarget = self._retargets.get(observation.vocabulary)
        clipped = np.clip(observation.weights, *WEIGHT_RANGES[observation.vocabulary])
        try:
            expression, pose = retarget(clipped, observation.pose) if retarget else (None, None)
        except ImavatarError:
            expression = None
        if expression is None or pose is None:
            self._counts["foreign"] += 1
        elif not all(
            np.abs(part).max() < VALUE_LIMIT for part in (observation.weights, expression, pose)
        ):  # nor NaN
            self._counts["malformed"] += 1
        else:
            if not np.array_equal(clipped, observation.weights):
                self._counts["limited"] += 1
            return face_of(expression, pose)
        return None


@dataclass(frozen=True, eq=False)
class MotionSample:
    """The face to show at one time."""

    expression: Float32[Array, "50"]
    pose: Float32[Array, "15"]  # axis-angle, radians
    captured: float
    """Time of capture on the local clock, which never decreases. The delay of the fastest packets
    is taken as zero where it cannot be measured, because the sender has a clock of its own."""
    state: str
    """`live`, `predicted`, `held` or `relaxing`."""


def adjust(face: Face, settings: MotionSettings, neutral: Neutral | None) -> Face:
    """A face relative to the neutral one, with the settings' head motion and gains applied."""
    relative = neutral.subtract_from(face) if neutral else face
    turns = HEADS[settings.head].turn(relative.turns)
    return settings.adjustment.apply_gains(Face(relative.expression, turns))


# The chain, and its state
#
# `push`, once an observation:
#
#     intake        retarget to the avatar; rejects `foreign` and `malformed` observations
#     time          the sender's time; its arrival where there is none or it is invalid (`untimed`)
#     clock         follows the sender's clock; rejects outliers (`late`). When it takes over
#                   another clock (`restarted`), buffered times are discarded, and the displayed
#                   face moves on from where it is
#     duplicates    rejects duplicates of the face before (`unchanged`)
#     calibration   while it runs, collects faces that are not provisional; at its end the neutral
#                   face changes
#     buffer        the face relative to the neutral one, in order of capture; rejects a second
#                   face of the same time (`repeated`) and faces before the displayed one (`late`)
#
# `at`, once a frame: playback reads the buffer `added_latency` behind the sender's time, predicts,
# corrects and smooths. The sample's state is that of the dropout, see `jitter_buffer`.


class MotionPipeline:
    """Retargets, aligns clocks, calibrates, adjusts, buffers, predicts, corrects and smooths."""

    def __init__(
        self,
        retargets: Mapping[str, Retarget],
        settings: MotionSettings,
        counts: Counter[str] | None = None,
    ) -> None:
        """Create a pipeline without faces.

        Args:
            retargets: the retargeting to the avatar, for each vocabulary that can be shown.
            settings: the user's choices.
            counts: receives the counts of observations. Rejected are those that are

                foreign      without a retargeting: of another head model
                malformed    beyond `VALUE_LIMIT`, or not a number
                late         off the sender's clock, or older than the displayed face
                unchanged    duplicates of the face before, sent faster than the tracker measures
                repeated     of the same time as a buffered face

                Not a reason for a rejection are those that are

                limited      clipped to `WEIGHT_RANGES`
                untimed      timed by their arrival
                restarted    the first of a sender's new clock
        """
        self.counts: Counter[str] = Counter() if counts is None else counts
        self.initial_neutral = settings.neutral
        """The neutral face of the settings."""
        self.neutral: Neutral | None = settings.neutral
        """The neutral face that is subtracted from every face."""
        self._settings = settings
        self._intake = Intake(retargets, self.counts)
        self._intervals = IntervalEstimator(1 / settings.fps)
        self._arrivals = ArrivalClock(1 / settings.fps)
        self._clock = SenderClock()
        self._timestamps = TimestampValidator()
        self._duplicates = DuplicateFilter()
        self._buffer = JitterBuffer()
        self._playback = Playback(DROPOUTS[settings.dropout], settings.smoothing)
        self._calibrator: Calibrator | None = None
        self._sample: MotionSample | None = None
        self._now = self._shown = -math.inf
        self._changed = False

    @property
    def added_latency(self) -> float:
        """Seconds from arrival, by the shortest way, to display: delay and smoothing together."""
        latency = self._settings.latency
        return AUTO_LATENCY_SHARE * self._intervals.interval if latency is None else latency

    @property
    def latency_note(self) -> str:
        """The latency in one line for the user."""
        total = 1e3 * self.added_latency
        lag = 1e3 * float(self._playback.lag[HEAD_CHANNEL])
        return (
            f"{total:.0f} ms added: {max(total - lag, 0):.0f} of delay and {lag:.0f} of smoothing "
            "(head, now)"
        )

    @property
    def calibrating(self) -> bool:
        """Whether faces are being collected for a new neutral face."""
        return self._calibrator is not None

    def recalibrate(self) -> None:
        """Make the face of the next `calibration` seconds the neutral one."""
        self._calibrator = Calibrator(self._settings.calibration)

    def push(self, arrival: Arrival) -> None:
        """Add an observation, in any order; count it when it cannot be used. Never raises."""
        observation, arrived = arrival
        face = self._intake.read(observation)
        if face is None:
            return
        sent = self._time_of(observation, arrived)
        restarts = self._clock.restarts
        if not self._clock.add_packet(sent, arrived):
            self.counts["late"] += 1
            return
        if self._clock.restarts > restarts:
            self._restart()
        kind = self._duplicates.classify(
            observation.weights, observation.pose, sent, self._intervals.interval
        )
        if kind == "duplicate":
            self.counts["unchanged"] += 1
            return
        self._calibrate(face, arrival)
        own_face = adjust(face, self._settings, self.neutral)
        rejection = self._buffer.insert(sent, own_face, self._shown, self._intervals.interval)
        if rejection:
            self.counts[rejection] += 1
            return
        self._intervals.add_face(sent, kind == "new")
        self._changed = True

    def at(self, now: float) -> MotionSample | None:
        """Return the face to show at `now`, which should grow; None before the first face."""
        if not self._buffer.count or (self._sample and now - self._now < SAME_SAMPLE_SECONDS):
            return self._sample
        sender = self._clock.at(now)
        elapsed = now - self._now
        face = self._playback.step(self._buffer, sender, elapsed, self.added_latency, self._changed)
        self._now = now
        self._shown = sender - self.added_latency
        self._changed = False
        self._sample = self._sample_of(face)
        return self._sample

    def _calibrate(self, face: Face, arrival: Arrival) -> None:
        """Pass a face to a calibration that runs; at its end, take over the neutral face."""
        if self._calibrator is None or arrival.observation.provisional:
            return
        if neutral := self._calibrator.add(face, arrival.arrived):
            self.neutral = neutral
            self._calibrator = None
            self._buffer.clear()

    def _sample_of(self, face: Face) -> MotionSample:
        expression, pose = self._settings.adjustment.apply_limits(*self._within_range(face))
        age = self._shown - self._buffer.newest
        beyond = float(self._playback.dropout.lead(np.asarray(age)))
        captured = self._shown if age <= 0 else self._buffer.newest + beyond
        if not self._settings.local_clock:
            captured = self._clock.local(captured)
        if self._sample:
            captured = max(captured, self._sample.captured)
        return MotionSample(
            expression.astype(np.float32), pose.astype(np.float32), captured, self._state(age)
        )

    def _state(self, age: float) -> str:
        due = LIVE_INTERVALS * self._intervals.interval - self.added_latency
        return "live" if age <= due else self._playback.dropout.state(age)

    def _within_range(self, face: Face) -> tuple[Float64[Array, "50"], Float64[Array, "15"]]:
        """Expression and pose, clipped to the range of motion, which a correction may leave."""
        low = self._buffer.range.low
        high = self._buffer.range.high
        pose = face.pose()
        pose[JAW] = np.minimum(np.maximum(pose[JAW], low[EXPRESSION_SIZE:]), high[EXPRESSION_SIZE:])
        return np.minimum(
            np.maximum(face.expression, low[:EXPRESSION_SIZE]), high[:EXPRESSION_SIZE]
        ), pose

    def _time_of(self, observation: Observation, arrived: float) -> float:
        time = observation.time
        usable = time is not None and abs(time) < TIME_LIMIT
        if time is not None and usable and not self._settings.local_clock:
            valid = not self._timestamps.invalid
            self._timestamps.add_packet(time, arrived, numbered=observation.sequence is not None)
            if valid and self._timestamps.invalid:
                self._clock.forget()
                self._restart()
        if time is not None and usable and not self._timestamps.invalid:
            return time
        self.counts["untimed"] += 1
        return self._arrivals.time_of(arrived, observation.sequence)

    def _restart(self) -> None:
        """Discard all times of the sender's former clock; the displayed face stays where it is."""
        self.counts["restarted"] += 1
        self._buffer.clear()
        self._intervals.reset()
        self._duplicates.reset()
        self._playback.reset_times()
        self._shown = -math.inf
