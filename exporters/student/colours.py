"""Colours of a student within the faces of its avatar, without torch."""

from __future__ import annotations

import numpy as np

from imavatar_deploy.arrays import Array, Float32, Integer
from imavatar_deploy.student import Student, colours_plainly

from ..skeleton import NEUTRAL_CONDITION

CHUNK = 1 << 16
"""Points whose features are computed at once."""


def student_colours_at(
    student: Student,
    corners: Integer[Array, "N 3"],
    weights: Float32[Array, "N 3"],
    normals: Float32[Array, "N 3"],
    condition: Float32[Array, "53"] = NEUTRAL_CONDITION,
) -> Float32[Array, "N 3"]:
    """Colours by a student at points within faces, sRGB in 0..1.

    Args:
        student: the student.
        corners: the three vertices around each point.
        weights: barycentric coordinates of each point.
        normals: unit normals of the deformed surface.
        condition: expression and jaw; by default those of the neutral face at rest.
    """
    colours = np.zeros((len(corners), 3), dtype=np.float32)
    for start in range(0, len(corners), CHUNK):
        part = slice(start, start + CHUNK)
        features = np.einsum("nk,nkh->nh", weights[part], student.features[corners[part]])
        colours[part] = colours_plainly(student, features, normals[part], condition[None])
    return colours
