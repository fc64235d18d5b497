"""Observation: one face from a tracker; Inbox: the queue from a source's thread to the loop."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass
from time import monotonic
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.checks import as_float32
from imavatar_deploy.conventions import EDITIONS, EXPRESSION_SIZE, POSE_SIZE
from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.retarget.arkit import ARKIT, ARKIT_NAMES

WEIGHTS = {ARKIT: len(ARKIT_NAMES)} | dict.fromkeys(EDITIONS, EXPRESSION_SIZE)
"""Number of weights of each vocabulary."""

INBOX_CAPACITY = 256
"""Largest number of observations in an inbox: four seconds at 60 a second."""


@dataclass(frozen=True, eq=False)
class Observation:
    """One face at one time, in the tracker's own vocabulary but in model axes.

    Raises:
        InputError: an unknown vocabulary, a wrong number of values, or one that is not finite.
    """

    vocabulary: str
    """A head-model edition, of whose expression codes `weights` is one, or `ARKIT`."""
    weights: NDArray[np.float32]
    """[50] expression code, or [52] ARKit weights 0..1 in the order of ARKIT_NAMES."""
    pose: NDArray[np.float32]
    """[15] axis-angle, radians: global (the head's rotation), neck, jaw, eyeL, eyeR."""
    time: float | None = None
    """Seconds on the sender's own clock; None where the protocol has none."""
    sequence: int | None = None
    """Number of the packet, which grows by one; None where the protocol has none."""
    provisional: bool = False
    """Whether the tracker does not know the person's face yet; such a face is shown, and is not
    used to calibrate."""

    def __post_init__(self) -> None:
        if self.vocabulary not in WEIGHTS:
            raise InputError(
                f"a stream must be of one of {', '.join(WEIGHTS)}, got {self.vocabulary!r}"
            )
        for name, size in (("weights", WEIGHTS[self.vocabulary]), ("pose", POSE_SIZE)):
            object.__setattr__(
                self, name, as_float32(f"observed {name}", getattr(self, name), (size,))
            )
        if self.time is not None and not (
            isinstance(self.time, float | int) and np.isfinite(self.time)
        ):
            raise InputError(
                f"the time of an observation must be a finite number, got {self.time!r}"
            )


class Arrival(NamedTuple):
    """An observation and its time of arrival."""

    observation: Observation
    arrived: float  # `time.monotonic()` of this machine


class Inbox:
    """Observations of a live source in order of arrival; bounded, and never blocking.

    A source's thread fills it and the render loop empties it. When it is full, the oldest
    observation is discarded.

    `counts` has a number for each of these names. The same name may be counted in several places:

        received      observations passed to `put`
        overflowed    observations discarded because the inbox was full
        early         observations that arrived before the first frame was drawn (`warm_up`)
        empty         packets that say that there is no face (`Reception`), images without one
                      (cameras and clips)
        uncertain     images whose face is covered or turned away (cameras and clips)
        skipped       images that were replaced by newer ones while tracking was busy (cameras and
                      clips)
        lost          sequence numbers that never arrived (`Reception`)
        malformed     packets refused by the parser (`Reception`) or too long (`Receiver`), and
                      observations whose values are out of range (`MotionPipeline`)
        foreign       packets of another sender (`Reception`) or of another host than the greeted
                      tracker's (`Receiver`), and observations of another head model
                      (`MotionPipeline`)
        repeated      duplicate packets by their sequence number (`Reception`), and observations of
                      the same time as a buffered one (`MotionPipeline`)
        late          observations off the sender's clock, and those older than the displayed face
                      (both `MotionPipeline`)
        unchanged     duplicates of the face before (`MotionPipeline`)
        limited, untimed, restarted
                      observations that are used, see `MotionPipeline`
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Arrival] = deque(maxlen=INBOX_CAPACITY)
        self.counts: Counter[str] = Counter()
        self.awaited = threading.Event()
        """Set when observations are first taken: a clip begins then."""
        self.ended = threading.Event()
        """Set when the source has ended."""
        self.error: Exception | None = None
        """The error that ended the source; None where it ended as usual."""

    def put(self, observation: Observation, arrived: float | None = None) -> None:
        """Add an observation.

        Args:
            observation: one face.
            arrived: `time.monotonic()` of its arrival; the present time when left out.

        Raises:
            UsageError: `observation` is no `Observation`.
        """
        if not isinstance(observation, Observation):
            raise UsageError(
                f"an inbox takes an Observation for each face, got {type(observation).__name__}"
            )
        with self._lock:
            self.counts["received"] += 1
            self.counts["overflowed"] += len(self._waiting) == INBOX_CAPACITY
            self._waiting.append(Arrival(observation, monotonic() if arrived is None else arrived))

    def count(self, reason: str, number: int = 1) -> None:
        """Add to the count of packets that are not used for a reason, a key of `counts`."""
        with self._lock:
            self.counts[reason] += number

    def take(self) -> list[Arrival]:
        """Return everything since the last call, in order of arrival."""
        self.awaited.set()
        with self._lock:
            arrivals = list(self._waiting)
            self._waiting.clear()
            return arrivals
