"""Weights of a clip within 0..1: what lies outside becomes morph targets of its own.

Blender and other programs limit the weights that they import to 0..1. A file whose animation stays
inside shows the same motion in all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from imavatar_deploy.arrays import Array, Float32

from .morph_targets import MIN_OFFSET_MM, MorphTarget

SIDES = (("Below", -1.0), ("Above", 1.0))
"""Ending of a target's name for weights below 0 and above 1, and the sign of its offset."""


class UnitWeights(NamedTuple):
    """Weights within 0..1 that move a mesh as the original ones do."""

    targets: list[MorphTarget]
    """Additional morph targets, for what the weights of the others cannot reach."""
    weights: Float32[Array, "T _"]
    """Weights of the original targets, then of the additional ones."""


def within_unit_range(
    targets: Sequence[MorphTarget], weights: Float32[Array, "T S"]
) -> UnitWeights:
    """Represent weights of any size by weights within 0..1.

    The weight of a target is limited to 0..1. What is below 0 drives an additional target
    `NAMEBelow` and what is above 1 a target `NAMEAbove`, each as large as the clip requires at a
    weight of one. There is none for what moves no vertex by MIN_OFFSET_MM.

    Args:
        targets: S morph targets.
        weights: of T frames.
    """
    inside = np.clip(weights, 0.0, 1.0)
    columns = [inside]
    additional: list[MorphTarget] = []
    for number, target in enumerate(targets):
        outside = weights[:, number] - inside[:, number]
        for ending, sign in SIDES:
            excess = np.maximum(sign * outside, 0.0)
            largest = float(excess.max(initial=0.0))
            if largest * target.largest_mm < MIN_OFFSET_MM:
                continue
            offset = np.asarray(sign * largest * target.offset, dtype=np.float32)
            additional.append(MorphTarget(target.name + ending, offset))
            columns.append((excess / largest)[:, None])
    return UnitWeights(additional, np.concatenate(columns, axis=1).astype(np.float32))
