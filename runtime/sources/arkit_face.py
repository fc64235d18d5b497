"""A face in ARKit's words, put together from what a tracker sends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.checks import ensure_finite
from imavatar_deploy.conventions import POSE_SIZE
from imavatar_deploy.retarget.arkit import ARKIT, ARKIT_NAMES

from .observation import Observation
from .turns import Vector, still

PLACE: Mapping[str, int] = {name: place for place, name in enumerate(ARKIT_NAMES)}
"""Where in an observation's weights each shape is."""


def arkit_observation(
    weights: Iterable[float],
    head: Vector | None = None,
    left_eye: Vector | None = None,
    right_eye: Vector | None = None,
    time: float | None = None,
) -> Observation:
    """Weights in the order of ARKIT_NAMES, held between 0 and 1, and axis-angles in model axes -> an observation.

    An eye that is left out stays straight: who turns weights into an avatar's words takes eyes that are all zero for
    "not sent", and the eyeLook shapes for the gaze.

    Raises:
        InputError: something is not finite, or there are not 52 weights.
    """
    values: NDArray[np.float64] = np.fromiter(weights, dtype=np.float64)
    ensure_finite("observed weights", values)
    pose = np.zeros(POSE_SIZE)
    for first, turn in ((0, head), (9, left_eye), (12, right_eye)):
        pose[first : first + 3] = still() if turn is None else turn
    return Observation(ARKIT, np.clip(values, 0, 1).astype(np.float32), pose.astype(np.float32), time)
