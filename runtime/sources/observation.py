"""Observation: what a tracker saw at one moment, whatever its protocol, and when it arrived here."""

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

Float = NDArray[np.float32]

WEIGHTS = {ARKIT: len(ARKIT_NAMES)} | dict.fromkeys(EDITIONS, EXPRESSION_SIZE)
"""How many weights each vocabulary has."""


@dataclass(frozen=True, eq=False)
class Observation:
    """One face at one moment, in the tracker's own vocabulary but in model axes.

    Raises:
        InputError: an unknown vocabulary, a wrong number of values, or one that is not finite.
    """

    vocabulary: str
    """A head-model edition, whose expression code `weights` is, or `ARKIT`."""
    weights: Float  # [50] expression code, or [52] ARKit weights 0..1 in the order of ARKIT_NAMES
    pose: Float  # [15] axis-angle, radians: global (the head's rotation), neck, jaw, eyeL, eyeR
    time: float | None = None
    """Seconds on the sender's own clock; None where the protocol has none."""
    sequence: int | None = None
    """Counts up by one a packet; None where the protocol has none."""

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
    """An observation and when it came."""

    observation: Observation
    arrived: float
    """`time.monotonic()` of this machine."""


# Inbox: where a source's thread leaves observations and the player's loop takes them; bounded, never blocking.


ROOM = 256
"""Observations kept between two looks: four seconds of 60 a second."""


class Inbox:
    """What a live source puts in, in order of arrival; the oldest is thrown away when it is full.

    Every way in which a packet can end is counted: `received` (well-formed), `lost` (by their
    numbers), `malformed`, `empty` (no face in it), `repeated`, `foreign` (another sender's),
    `overflowed`, `early` (before the first frame could be drawn), and what the motion adds.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Arrival] = deque(maxlen=ROOM)
        self.counts: Counter[str] = Counter()
        self.ended = threading.Event()
        """Set when nothing will come any more."""
        self.error: Exception | None = None
        """Why it ended, where that is an error to be told."""

    def put(self, observation: Observation, arrived: float | None = None) -> None:
        """Leave an observation; `arrived` is now where it is left out."""
        with self._lock:
            self.counts["received"] += 1
            self.counts["overflowed"] += len(self._waiting) == ROOM
            self._waiting.append(Arrival(observation, monotonic() if arrived is None else arrived))

    def count(self, what: str, number: int = 1) -> None:
        """Count packets that are no observation."""
        with self._lock:
            self.counts[what] += number

    def take(self) -> list[Arrival]:
        """Everything that came since the last look, in order of arrival."""
        with self._lock:
            taken = list(self._waiting)
            self._waiting.clear()
            return taken
