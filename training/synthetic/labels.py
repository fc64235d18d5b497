"""Semantic labels of a synthetic head, from places on OpenHead's template.

The ids are those of the face parsing of the published data.
"""

from __future__ import annotations

import numpy as np

from imavatar_deploy.arrays import Array, Bool, Float32, UInt8

from ..warm_start.head_surface import HeadSurface
from .appearance import Appearance
from .hair_and_clothes import above_collar, ear_mask, hair_mask, mirror, part_of
from .mouth import inside_mouth
from .skin_and_hair_colours import brow_mask, lip_mask

LABELS = {
    "background": 0,
    "skin": 1,
    "left brow": 2,
    "right brow": 3,
    "left eye": 4,
    "right eye": 5,
    "glasses": 6,
    "left ear": 7,
    "right ear": 8,
    "earring": 9,
    "nose": 10,
    "mouth": 11,
    "upper lip": 12,
    "lower lip": 13,
    "neck": 14,
    "necklace": 15,
    "cloth": 16,
    "hair": 17,
    "hat": 18,
}
"""Left is the subject's own left (+x)."""

SEAM = -0.2235
"""Height at which the lips meet."""
JAW_LINE = ((-0.5, -0.05, 0.05, 0.20, 0.35), (-0.15, -0.15, -0.22, -0.375, -0.405))
"""Positions along z, and the height of the border between skin and neck at each."""
NOSE = ((-0.15, -0.10, -0.05, 0.02, 0.06), (0.07, 0.075, 0.05, 0.03, 0.02))
"""Heights, and half the width of the nose at each."""


def vertex_labels(
    subject: HeadSurface, anchors: Float32[Array, "V 3"], appearance: Appearance
) -> UInt8[Array, " V"]:
    """Label every vertex of OpenHead's own parts.

    Args:
        anchors: the subject's vertices on OpenHead's template, model units.
    """
    labels = np.zeros(len(anchors), dtype=np.uint8)
    for part in np.unique(subject.parts):
        own = subject.parts == part
        name = part_of(anchors[own])
        labels[own] = skin_labels(anchors[own], appearance) if name == "skin" else LABELS["mouth"]
        if name == "eye":
            labels[own] = LABELS["left eye" if anchors[own, 0].mean() > 0 else "right eye"]
    return labels


def skin_labels(anchors: Float32[Array, "V 3"], appearance: Appearance) -> UInt8[Array, " V"]:
    """Label the vertices of the skin, its hair and clothes included."""
    folded = mirror(anchors)
    x, y, z = folded.T
    left = anchors[:, 0] > 0
    labels = np.full(len(anchors), LABELS["skin"], dtype=np.uint8)
    nose = (x < np.interp(y, *NOSE)) & (y > NOSE[0][0]) & (y < NOSE[0][-1]) & (z > 0.33)
    labels[nose] = LABELS["nose"]
    labels[y < np.interp(z, *JAW_LINE)] = LABELS["neck"]
    _paint(labels, ear_mask(anchors) > 0.15, left, "ear")
    _paint(labels, brow_mask(folded, appearance.palette.brow_width) > 0.4, left, "brow")
    lips = lip_mask(folded) > 0.5
    labels[lips & (y > SEAM)] = LABELS["upper lip"]
    labels[lips & (y <= SEAM)] = LABELS["lower lip"]
    labels[inside_mouth(anchors) > 0.5] = LABELS["mouth"]
    labels[hair_mask(anchors, appearance.haircut) > 0.5] = LABELS["hair"]
    labels[above_collar(anchors) < 0.0] = LABELS["cloth"]
    return labels


def _paint(
    labels: UInt8[Array, " V"], mask: Bool[Array, " V"], left: Bool[Array, " V"], name: str
) -> None:
    """Label the masked vertices, in place, by the side of the head that they lie on."""
    labels[mask & left] = LABELS[f"left {name}"]
    labels[mask & ~left] = LABELS[f"right {name}"]
