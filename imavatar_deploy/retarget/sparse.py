"""`--map sparse`: ARKit's jaw and eyes on any head model, for want of a map; the face itself keeps still."""

from __future__ import annotations

import numpy as np

from imavatar_deploy.conventions import EXPRESSION_SIZE
from imavatar_deploy.errors import InputError

from .arkit import ARKIT, ARKIT_NAMES
from .by_name import JAW_OPEN_ANGLE
from .controls import CONTROLS, EYES, FACE_POSE
from .eye_turns import EYE_TURNS
from .retarget import Float, Request, Retarget, RetargetRow, Turn

SPARSE = "sparse"
"""The word for `--map`."""

JAW_SIDE_ANGLE = 0.1
"""Radians about +Y at jawLeft = 1: carries a chin 73 mm before its hinge 7 mm aside, as MakeHuman's jawLeft does."""


def sparse_matrix() -> Float:
    """[52, 59] jawOpen and jawLeft/Right -> jaw, eyeLook -> eyes; all else zero."""
    matrix = np.zeros((len(ARKIT_NAMES), len(CONTROLS)), dtype=np.float32)
    for name, control, angle in (
        ("jawOpen", "jaw.x", JAW_OPEN_ANGLE),
        ("jawLeft", "jaw.y", JAW_SIDE_ANGLE),
        ("jawRight", "jaw.y", -JAW_SIDE_ANGLE),
    ):
        matrix[ARKIT_NAMES.index(name), CONTROLS.index(control)] = angle
    matrix[:, -EYE_TURNS.shape[1] :] = EYE_TURNS
    return matrix


def _turn() -> Turn:
    face = np.ascontiguousarray(sparse_matrix()[:, EXPRESSION_SIZE:].T)

    def turn(weights: Float, pose: Float) -> tuple[Float, Float]:
        posed = pose.copy()
        posed[FACE_POSE] += face @ weights
        if pose[EYES].any():
            posed[EYES] = pose[EYES]
        return np.zeros(EXPRESSION_SIZE, dtype=np.float32), posed

    return turn


def _make(request: Request) -> Retarget:
    if request.vocabulary != ARKIT:
        raise InputError(
            f"--map sparse reads {ARKIT} shapes and the stream is of {request.vocabulary or 'no stated kind'}; "
            "give a map made for it, --map FILE"
        )
    note = (
        "WARNING: --map sparse moves jaw and eyes alone: THE FACE WILL HARDLY MOVE, it cannot smile, blink or raise a "
        "brow; imavatar-data fit-map makes a map from your head model's file"
    )
    return Retarget(note, len(ARKIT_NAMES), _turn())


ROW = RetargetRow(
    "sparse", "ARKit's jaw and eyes alone, for want of a map", lambda request: request.map_file == SPARSE, _make
)
