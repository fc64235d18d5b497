"""ARKit's shapes on OpenHead, whose expressions carry their names: exact, without a map."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from imavatar_deploy.conventions import EXPRESSION_SIZE, JAW
from imavatar_deploy.head_files import OPENHEAD

from .arkit import ARKIT, ARKIT_NAMES
from .controls import EYES
from .eye_turns import EYE_TURNS
from .retarget import Float, Request, Retarget, RetargetRow, Turn

JAW_OPEN_ANGLE = 0.42548642
"""Radians about +X at which OpenHead's jaw and its correctives make MakeHuman's jawOpen (its file's `jaw_open_angle`).

Exact there and at rest; between, a turning jaw is up to 2.3 mm off the straight line of a morph (at the chin).
"""

OPENHEAD_NAMES = tuple(sorted({*ARKIT_NAMES} - {"jawOpen", "tongueOut"}))
"""OpenHead's 50 expressions in its own order."""

JAW_OPEN = ARKIT_NAMES.index("jawOpen")


def _fits(request: Request) -> bool:
    return request.map_file is None and request.vocabulary == ARKIT and request.edition == OPENHEAD


def _make(request: Request) -> Retarget:
    names = request.expression_names
    if not {*names} & {*ARKIT_NAMES}:  # an avatar from a file without names: the edition knows them
        names = OPENHEAD_NAMES
    present = {*names} & {*ARKIT_NAMES}
    missing = sorted({*ARKIT_NAMES} - present - {"jawOpen"})
    note = f"ARKit by name: {len(present)} shapes, jawOpen by the jaw; not in this head: {', '.join(missing) or 'none'}"
    return Retarget(note, len(ARKIT_NAMES), _turn(names))


def _turn(expression_names: Sequence[str]) -> Turn:
    """Shapes by name, the jaw by jawOpen, and the eyes by what the tracker saw beyond what the shapes turn already."""
    columns = [index for index, name in enumerate(expression_names) if name in ARKIT_NAMES]
    rows = np.array([ARKIT_NAMES.index(expression_names[index]) for index in columns])
    place = np.array(columns)
    turned_by_shapes = np.ascontiguousarray(np.where(np.isin(range(len(EYE_TURNS)), rows)[:, None], EYE_TURNS, 0).T)

    def turn(weights: Float, pose: Float) -> tuple[Float, Float]:
        expression = np.zeros(EXPRESSION_SIZE, dtype=np.float32)
        expression[place] = weights[rows]
        posed = pose.copy()
        posed[JAW.start] += JAW_OPEN_ANGLE * weights[JAW_OPEN]
        if pose[EYES].any():  # else the tracker sends weights alone, and the shapes turn the eyes
            posed[EYES] -= turned_by_shapes @ weights
        return expression, posed

    return turn


ROW = RetargetRow("by name", "ARKit's shapes on OpenHead, whose expressions carry their names: exact", _fits, _make)
