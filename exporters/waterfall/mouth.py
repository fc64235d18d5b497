"""Mouth: the region that is judged on its own, a ball in canonical space where the opening jaw tears lips apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.avatar import canonical_pose
from imavatar_deploy.conventions import EXPRESSION_SIZE, JAW, UNITS_PER_METRE
from imavatar_deploy.head_model import HeadModel

Float = NDArray[np.float32]

OPENING = 0.2
"""Radians by which the jaw opens further."""

TORN = 0.4
"""Share of the largest stretch that tells an edge between the lips: on OpenHead these have the lips' own extent."""

RADIUS = 0.2
"""Model units (50 mm): half a mouth and the lips around it."""


def mouth_centre(head: HeadModel) -> Float:
    """[3] between the lips, canonical space, model units: the middle of the edges that the jaw stretches most."""
    neutral, closed = np.zeros(EXPRESSION_SIZE, dtype=np.float32), canonical_pose()
    opened = closed.copy()
    opened[JAW.start] += OPENING
    points = UNITS_PER_METRE * head.vertices(neutral, closed)
    moved = np.linalg.norm(UNITS_PER_METRE * head.vertices(neutral, opened) - points, axis=1)
    edges = np.concatenate([head.faces[:, [0, 1]], head.faces[:, [1, 2]], head.faces[:, [2, 0]]])
    length = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1)
    stretch = np.abs(moved[edges[:, 0]] - moved[edges[:, 1]]) / np.maximum(length, 1e-9)
    torn = points[edges[stretch > TORN * stretch.max()]].mean(axis=1)
    return np.asarray(np.median(torn, axis=0), dtype=np.float32)


def mouth_region(canonical: Float, centre: Float) -> NDArray[np.bool_]:
    """[H, W] the pixels whose canonical point `[H, W, 3]` lies at the mouth."""
    return np.asarray(np.linalg.norm(canonical - centre, axis=-1) < RADIUS)
