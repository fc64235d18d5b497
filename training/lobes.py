"""Lobes: pieces of surface that stand in front of the head model where the labels say skin."""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.conventions import UNITS_PER_METRE

from .dataset.labels import LABELS
from .head_depth import NOWHERE, nearest_around
from .semantics import SKIN

Float = NDArray[np.floating[Any]]

GAP = 0.1
"""Distance in front of the head model (model units, 25 mm) that no skin has."""


class Lobe(NamedTuple):
    """The largest connected lobe of an image."""

    share: float
    """Of the skin's pixels."""
    millimetres: float
    """In front of the head model, in the median over its pixels."""
    column: int
    row: int
    """Its middle."""
    label: str
    """What the labels call most of it."""


def largest_lobe(
    depth: Float,
    mask: NDArray[np.bool_],
    head: Float,
    semantic: NDArray[np.uint8],
) -> Lobe | None:
    """The largest connected piece of skin that is nearer than the head model by more than `GAP`.

    Args:
        depth: `[S, S]` of the render, model units.
        mask: `[S, S]` where the render shows the avatar.
        head: `[S, S]` of the head model (see `head_depth`).
        semantic: `[S, S]` label ids.
    """
    nearest, skin = nearest_around(head), np.isin(semantic, SKIN)
    ahead = nearest - depth
    candidates = skin & (nearest < NOWHERE) & mask & (ahead > GAP)
    count, pieces, facts, middles = cv2.connectedComponentsWithStats(candidates.astype(np.uint8))
    if count < 2:
        return None
    largest = 1 + int(facts[1:, cv2.CC_STAT_AREA].argmax())
    piece = pieces == largest
    column, row = np.round(middles[largest]).astype(int).tolist()
    label = LABELS[int(np.bincount(semantic[piece]).argmax())]
    apart = 1000.0 / UNITS_PER_METRE * float(np.median(ahead[piece]))
    return Lobe(float(piece.sum() / skin.sum()), apart, column, row, label)
