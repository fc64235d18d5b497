"""Regions of a head model's surface (face, scalp, ears, neck, clothes), drawn into a picture.

They are given by places on OpenHead's template. On other head models a vertex has the region of
OpenHead's nearest vertex, once the landmarks of both lie upon one another.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from imavatar_deploy.arrays import Array, Float32, Float64, UInt8, read_only
from imavatar_deploy.camera import Camera
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.head_fit.correspondences import landmark_points
from imavatar_deploy.head_model import OPENHEAD, HeadModel
from imavatar_deploy.rendering.rasteriser import Rasteriser
from imavatar_deploy.rendering.workers import Workers

NOTHING, FACE, SCALP, LEFT_EAR, RIGHT_EAR, NECK, CLOTHES = range(7)
"""Regions of a picture. Left is the person's own left (+x)."""

JAW_LINE = ((-0.5, -0.05, 0.05, 0.20, 0.35), (-0.15, -0.15, -0.22, -0.375, -0.405))
"""Positions along z, and the height of the border between face and neck at each, model units."""

COLLAR = ((0, 45, 90, 140, 180), (-0.60, -0.56, -0.49, -0.46, -0.455))
"""Azimuths from the front about the neck, degrees, and the height of a usual collar at each."""

SCALP_LINE = ((0, 32, 54, 70, 93, 112, 140, 180), (30, 32, 22, 2, 6, -16, -40, -44))
"""Azimuths from the front about the skull's middle, and elevations above which hair may grow."""

SKULL = np.array([0.0, 0.05, 0.0])
"""Middle of the skull, model units."""

NECK_AXIS = -0.12
"""Position of the neck's middle along z, model units."""


def _openhead_regions(template: Float32[Array, "V 3"]) -> UInt8[Array, " V"]:
    """Region of every vertex of OpenHead's template."""
    x, y, z = (UNITS_PER_METRE * template.astype(np.float64)).T
    regions = np.full(len(template), FACE, dtype=np.uint8)
    around, above = np.degrees(np.arctan2(np.abs(x), z)), y - SKULL[1]
    elevation = np.degrees(np.arctan2(above, np.hypot(x, z)))
    regions[elevation > np.interp(around, *SCALP_LINE)] = SCALP
    regions[(y < np.interp(z, *JAW_LINE)) & (regions != SCALP)] = NECK
    side = 0.275 + 0.03 * np.clip((y + 0.05) / 0.15, -1, 1)
    ear = (np.abs(x) > side) & (np.abs(y + 0.03) < 0.13) & (z > -0.1) & (z < 0.12)
    regions[ear & (x > 0)] = LEFT_EAR
    regions[ear & (x < 0)] = RIGHT_EAR
    about_neck = np.degrees(np.arctan2(np.abs(x), z - NECK_AXIS))
    regions[y < np.interp(about_neck, *COLLAR)] = CLOTHES
    return regions


@lru_cache(maxsize=2)
def _bundled() -> HeadModel:
    return read_only(HeadModel.load(OPENHEAD))


def vertex_regions(head: HeadModel) -> UInt8[Array, " V"]:
    """Return the region of every vertex of a head model.

    Args:
        head: with or without a subject's shape.

    Raises:
        InputError: the landmarks of this head model are unknown.
    """
    openhead = _bundled()
    regions = _openhead_regions(openhead.template)
    if head.edition == OPENHEAD:
        return regions
    ours = landmark_points(openhead).positions(openhead.template, openhead.faces)
    theirs = landmark_points(head).positions(head.template, head.faces)
    moved = _aligned(head.template, theirs, ours)
    nearest = np.concatenate(
        [
            ((part[:, None] - openhead.template[None]) ** 2).sum(axis=2).argmin(axis=1)
            for part in np.array_split(moved, max(1, len(moved) // 256))
        ]
    )
    return np.asarray(regions[nearest])


def _aligned(
    points: Float32[Array, "V 3"], theirs: Float32[Array, "L 3"], ours: Float32[Array, "L 3"]
) -> Float32[Array, "V 3"]:
    """Points moved and scaled as landmarks onto landmarks; both heads look along +z."""
    middle, target = theirs.mean(axis=0), ours.mean(axis=0)
    scale = float(np.sqrt(((ours - target) ** 2).sum() / ((theirs - middle) ** 2).sum()))
    return np.asarray((points - middle) * scale + target, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class DrawnHead:
    """A posed head in a picture."""

    regions: UInt8[Array, "S S"]
    """Region of every pixel, NOTHING beside the head."""
    columns: Float64[Array, " V"]
    """Columns of the vertices."""
    rows: Float64[Array, " V"]


class HeadDrawer:
    """Draws the regions of a posed head.

    Args:
        head: head model, without the subject's shape.
        shape: coefficients of the subject.
        size: side of the pictures, pixels.
        workers: threads of the rasteriser.
    """

    def __init__(
        self, head: HeadModel, shape: Float32[Array, " S"], size: int, workers: Workers
    ) -> None:
        self._head = head.for_subject(shape)
        self._size = size
        self._rasteriser = Rasteriser(head.faces, size, size, workers)
        self._regions = vertex_regions(head)

    def draw(
        self, expression: Float32[Array, "50"], pose: Float32[Array, "15"], camera: Camera
    ) -> DrawnHead:
        """Draw the head of one frame."""
        vertices = UNITS_PER_METRE * self._head.vertices(expression, pose)
        matrix = camera.image_matrix(self._size, self._size)
        fragments = self._rasteriser.draw(vertices, matrix)
        regions = np.zeros((self._size, self._size), dtype=np.uint8)
        hit = fragments.triangle >= 0
        corners = self._head.faces[fragments.triangle[hit]]
        nearest = fragments.barycentrics[hit].argmax(axis=1)
        regions[hit] = self._regions[np.take_along_axis(corners, nearest[:, None], axis=1)[:, 0]]
        points = vertices @ matrix[:, :3].T + matrix[:, 3]
        columns, rows = (points[:, :2] / points[:, 2:]).T.astype(np.float64)
        return DrawnHead(regions, columns, rows)
