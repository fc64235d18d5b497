"""SeenRange: how far expressions and the jaw have been seen to go, which no prediction and no correction may exceed.

A lid that is carried on past shut, or a jaw past closed, shows at once. While the range grows, a face does what it has
not done before, and there is no limit yet: a wall that moves with every face would show as steps.
"""

from __future__ import annotations

import numpy as np

from imavatar_deploy.conventions import BONES, CONDITION_SIZE
from imavatar_deploy.kinematics import axis_angles

from .face import Double, Face

AHEAD = 3.0
"""Times the last growth that is left free: predictions are two faces of 30 a second long."""

FORGETS = 0.8
"""Of that freedom, what is left with the next face."""

_JAW = slice(BONES.index("jaw"), BONES.index("jaw") + 1)


class SeenRange:
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
