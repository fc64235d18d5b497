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
from imavatar_deploy.errors import InputError
from imavatar_deploy.retarget.arkit import ARKIT, ARKIT_NAMES

WEIGHTS = {ARKIT: len(ARKIT_NAMES)} | dict.fromkeys(EDITIONS, EXPRESSION_SIZE)
"""Number of weights of each vocabulary."""

ROOM = 256
"""Observations that an inbox holds: four seconds at 60 a second."""


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

    `counts` has every fate of a packet: `received` (well-formed), `lost` (by sequence numbers),
    `malformed`, `empty` (no face in it), `repeated`, `foreign` (of another sender), `overflowed`,
    `early` (before the first frame could be drawn), and those that `MotionPipeline` adds.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Arrival] = deque(maxlen=ROOM)
        self.counts: Counter[str] = Counter()
        self.ended = threading.Event()
        """Set when the source has ended."""
        self.error: Exception | None = None
        """The error that ended the source; None where it ended as usual."""

    def put(self, observation: Observation, arrived: float | None = None) -> None:
        """Add an observation; `arrived` is the present time when left out."""
        with self._lock:
            self.counts["received"] += 1
            self.counts["overflowed"] += len(self._waiting) == ROOM
            self._waiting.append(Arrival(observation, monotonic() if arrived is None else arrived))

    def count(self, fate: str, number: int = 1) -> None:
        """Count packets that are no observation."""
        with self._lock:
            self.counts[fate] += number

    def take(self) -> list[Arrival]:
        """Return everything since the last call, in order of arrival."""
        with self._lock:
            arrivals = list(self._waiting)
            self._waiting.clear()
            return arrivals
