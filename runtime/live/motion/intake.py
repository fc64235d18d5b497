"""Intake: what a tracker saw -> the face in the avatar's words, or a count of what is of no use."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.conventions import EDITIONS
from imavatar_deploy.errors import ImavatarError
from imavatar_deploy.retarget.arkit import ARKIT

from ...sources.observation import Observation
from .face_state import Face, face_of

Float = NDArray[np.float32]

Retarget = Callable[[Float, Float], tuple[Float, Float]]
"""(weights [n], pose [15]) -> (expression [50], pose [15]), in the avatar's words."""

ABSURD = 1e4
"""No code and no angle is as large; such a face is `malformed`."""

RANGES = dict.fromkeys(EDITIONS, (-10.0, 10.0)) | {"openhead": (-1.0, 1.5), ARKIT: (0.0, 1.0)}
"""What a face can be: beyond, a weight is `limited` to it. A percentage sent for a share would tear a head apart."""


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


# Copies: faces that a sender sends again because it is faster than the tracker behind it.
#
# A copy says that the face stood still, which it did not; motion between copies would go by starts and stops. So they are
# told from faces that really stand still, which do so for longer, and from the rare equal neighbours of a motion.


HABIT, LEARNS = 0.3, 0.05
"""Share of faces that equal the one before in a sender of that kind, and how fast it is learnt."""

STILL = 2.5
"""Intervals: what has not changed for longer really stands still."""


class DuplicateFilter:
    """`classify` every face, in order of arrival."""

    def __init__(self) -> None:
        self._face: tuple[Float, Float] | None = None
        self._since = -math.inf
        self._share = 0.0

    def reset(self) -> None:
        """The times are of another clock from now on."""
        self._since = -math.inf

    def classify(self, weights: Float, pose: Float, time: float, interval: float) -> str:
        """`new`, `still` (the same as before, to the last bit), or `copy`.

        Args:
            weights: as observed.
            pose: as observed.
            time: when, in the sender's seconds.
            interval: seconds between two new faces.
        """
        before, self._face = self._face, (weights, pose)
        same = (
            before is not None
            and np.array_equal(before[0], weights)
            and np.array_equal(before[1], pose)
        )
        self._share += LEARNS * (same - self._share)
        if not same:
            self._since = time
            return "new"
        return (
            "copy" if self._share > HABIT and 0 < time - self._since < STILL * interval else "still"
        )
