"""Probes: each thing that a map reads, done alone by its own head model, and how far every vertex then moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.conventions import EXPRESSION_SIZE, POSE_SIZE
from imavatar_deploy.errors import InputError
from imavatar_deploy.head_files import OPENHEAD
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.retarget import find_retarget
from imavatar_deploy.retarget.arkit import ARKIT
from imavatar_deploy.retarget.controls import INPUTS, split

Double = NDArray[np.float64]
Float = NDArray[np.float32]

TURN = 0.2
"""Radians by which a probe turns jaw or eye: a common angle, so that a turn's straight line is cut where it is used."""


@dataclass(frozen=True)
class Probes:
    """n probes of a head."""

    vocabulary: str
    names: tuple[str, ...]
    sizes: Double  # [n] how much of each input a probe holds
    moved: Double  # [n, V, 3] metres


def probes(head: HeadModel, *, codes: bool = False) -> Probes:
    """ARKit's shapes where the head carries their names (OpenHead does), or its own codes.

    Args:
        codes: probe expression, jaw and eyes, whatever their names.

    Raises:
        InputError: ARKit's shapes are asked of a head that has none.
    """
    if not codes and head.edition != OPENHEAD:
        raise InputError(
            f"ARKit's shapes are known for openhead, and this head is {head.edition}: map from openhead, or pass "
            f"--codes to map from the codes of {head.edition}"
        )
    vocabulary = head.edition if codes else ARKIT
    names = INPUTS[vocabulary]
    sizes = np.ones(len(names))
    if codes:
        sizes[EXPRESSION_SIZE:] = TURN
    rest = head.vertices(np.zeros(EXPRESSION_SIZE, dtype=np.float32), np.zeros(POSE_SIZE, dtype=np.float32))
    moved = np.stack([_posed(head, row, vocabulary) - rest for row in np.diag(sizes).astype(np.float32)])
    return Probes(vocabulary, names, sizes, moved.astype(float))


def _posed(head: HeadModel, inputs: Float, vocabulary: str) -> Float:
    still = np.zeros(POSE_SIZE, dtype=np.float32)
    if vocabulary == ARKIT:
        return head.vertices(*find_retarget(ARKIT, head.edition, head.expression_names)(inputs, still))
    return head.vertices(*split(inputs, still))
