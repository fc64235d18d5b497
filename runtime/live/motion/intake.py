"""Intake: what a tracker saw -> the face in the avatar's words, or a count of what is of no use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.conventions import EDITIONS
from imavatar_deploy.errors import ImavatarError
from imavatar_deploy.retarget.arkit import ARKIT

from ...sources.observation import Observation
from .face import Face, face_of

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
        elif not all(np.abs(part).max() < ABSURD for part in (observation.weights, expression, pose)):  # nor NaN
            self._counts["malformed"] += 1
        else:
            if not np.array_equal(possible, observation.weights):
                self._counts["limited"] += 1
            return face_of(expression, pose)
        return None
