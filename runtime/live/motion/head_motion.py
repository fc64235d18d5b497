"""What the head's own rotation does to an avatar that has shoulders: the table of `--head`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from imavatar_deploy.conventions import BONES
from imavatar_deploy.kinematics import product

from .face import Double

STILL = np.array([1.0, 0.0, 0.0, 0.0])
GLOBAL, NECK = BONES.index("global"), BONES.index("neck")


@dataclass(frozen=True)
class HeadMotion:
    """One row; `turn` takes and gives the quaternions of the bones, `[5, 4]`."""

    description: str
    turn: Callable[[Double], Double]


def _bend_neck(turns: Double) -> Double:
    """The neck turns by as much as both did, so the head looks where it did, and what hangs on the root stays."""
    turned = turns.copy()
    turned[NECK] = product(turns[GLOBAL], turns[NECK])
    turned[GLOBAL] = STILL
    return turned


def _keep_still(turns: Double) -> Double:
    turned = turns.copy()
    turned[[GLOBAL, NECK]] = STILL
    return turned


HEADS = {
    "on": HeadMotion("as tracked", lambda turns: turns),
    "neck": HeadMotion("the neck does all of it", _bend_neck),
    "off": HeadMotion("the head stays, the face moves", _keep_still),
}
"""The table."""
