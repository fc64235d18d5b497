"""Summary of a frame: measures of its mask, labels and posed head for the consistency checks."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from imavatar_deploy.arrays import Array, Bool, Float32, Int64, UInt8
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.dataset.images import FramePixels, colours
from imavatar_deploy.dataset.labels import LABELS
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.tracks.track import FlameFrame

MIN_HEAD_WEIGHT = 0.9
"""Smallest skinning weight of a head vertex for neck, jaw and eyes together; vertices with less
belong to neck and shoulders."""

FRONT_QUANTILE = 0.9
"""Quantile of depth above which a vertex of the head belongs to the middle of the face."""

THUMBNAIL_SIDE = 24
"""Side of a thumbnail, pixels."""

FACE = tuple(
    LABELS.index(name) for name in ("left brow", "right brow", "left eye", "right eye", "nose")
)
"""Labels whose centre follows the turning face. The mouth is not one of them: its area changes with
every word, and with it the centre of the whole."""

MEASURES = ("top", "left", "right", "column of the face", "row of the face")
"""Measures of the mask and labels (`measured`) and of the posed head (`posed`), as fractions of the
side."""


@dataclass(frozen=True)
class Projection:
    """The vertices of the head in a picture, as fractions of its side."""

    points: Float32[Array, "N 2"]
    """Columns and rows."""
    front: Float32[Array, "M 2"]
    """Columns and rows of the vertices in the middle of the face."""
    behind: bool
    """Whether a part of the head is not in front of the camera; the points are then invalid."""


class HeadVertexProjector:
    """Projects the vertices of a subject's head, without neck and shoulders.

    Args:
        head: head model of the subject.
    """

    def __init__(self, head: HeadModel) -> None:
        self._head = head
        self._indices = np.flatnonzero(head.weights[:, 1:].sum(axis=1) > MIN_HEAD_WEIGHT)
        depth = head.template[self._indices, 2]
        self._front = depth > np.quantile(depth, FRONT_QUANTILE)

    def project(self, frame: FlameFrame) -> Projection:
        """Project the head in the pose of a frame that has a camera."""
        assert frame.camera is not None
        posed = self._head.vertices(frame.expression, frame.pose)
        vertices = UNITS_PER_METRE * posed[self._indices]
        matrix = frame.camera.image_matrix(1, 1)
        column, row, depth = matrix[:, :3] @ vertices.T + matrix[:, 3:]
        behind = bool(depth.min() <= 0)
        points = np.zeros((len(depth), 2), dtype=np.float32)
        if not behind:
            points[:, 0] = column / depth
            points[:, 1] = row / depth
        return Projection(points, points[self._front], behind)


class FrameSummary(NamedTuple):
    """Measures of one frame of a video."""

    frame: int
    """Index in its video."""
    digest: bytes
    """Hash of the image's pixels."""
    thumb: Float32[Array, "24 24"]
    """Grey thumbnail in 0..1."""
    labels: Int64[Array, "19"]
    """Number of pixels of each label; zeros without labels."""
    area: float
    """Share of the picture that the mask covers."""
    measured: Float32[Array, "5"]
    """MEASURES of mask and labels; NaN where unknown."""
    posed: Float32[Array, "5"]
    """MEASURES of the posed head; NaN where unknown."""
    inside: float
    """Share of the head's vertices within the mask; NaN without a head model."""
    in_picture: float
    """Share of the head's vertices within the picture; NaN without a head model."""
    behind: bool
    """Whether a part of the head is behind the camera."""


def summarise_frame(
    frame: int,
    pixels: FramePixels,
    projection: Projection | None,
    keypoints: Float32[Array, "70 2"] | None,
) -> FrameSummary:
    """Measure a decoded frame.

    Args:
        frame: index in its video.
        pixels: its decoded pictures.
        projection: the posed head, or None without a head model.
        keypoints: landmarks in -1..1, which give the posed face without a head model.
    """
    mask = pixels.mask
    grey = colours(pixels).mean(axis=-1)
    posed: Float32[Array, "5"] = np.full(len(MEASURES), np.nan, dtype=np.float32)
    inside = in_picture = np.nan
    rows = slice(None)
    if projection is not None and not projection.behind:
        posed = _extents(projection)
        rows = _upper_half(projection, len(mask))
        inside, in_picture = _shares(projection.points, mask)
    elif projection is None and keypoints is not None:
        posed[3:] = (keypoints.mean(axis=0) + 1) / 2
    return FrameSummary(
        frame=frame,
        digest=hashlib.blake2b(
            np.ascontiguousarray(pixels.image).tobytes(), digest_size=16
        ).digest(),
        thumb=cv2.resize(grey, (THUMBNAIL_SIDE, THUMBNAIL_SIDE), interpolation=cv2.INTER_AREA),
        labels=np.zeros(len(LABELS), dtype=np.int64)
        if pixels.semantic is None
        else np.bincount(pixels.semantic.ravel(), minlength=len(LABELS)),
        area=float(mask.mean()),
        measured=_measure(mask, pixels.semantic, rows),
        posed=posed,
        inside=inside,
        in_picture=in_picture,
        behind=projection is not None and projection.behind,
    )


def _extents(projection: Projection) -> Float32[Array, "5"]:
    columns, rows = projection.points.T
    return np.array(
        [rows.min(), columns.min(), columns.max(), *projection.front.mean(axis=0)], dtype=np.float32
    )


def _upper_half(projection: Projection, side: int) -> slice:
    """Rows from the top of the head to its middle; below, hair and shoulders widen the mask."""
    rows = projection.points[:, 1] * side
    return slice(*(int(np.clip(row, 0, side - 1)) for row in (rows.min(), rows.mean() + 1)))


def _shares(points: Float32[Array, "N 2"], mask: Bool[Array, "S S"]) -> tuple[float, float]:
    """Shares of the points within the mask and within the picture."""
    side = len(mask)
    columns, rows = np.nan_to_num(points * side).round().clip(-1, side).astype(np.int64).T
    within = (columns >= 0) & (columns < side) & (rows >= 0) & (rows < side)
    inside = mask[rows.clip(0, side - 1), columns.clip(0, side - 1)] & within
    return float(inside.mean()), float(within.mean())


def _measure(
    mask: Bool[Array, "S S"], semantic: UInt8[Array, "S S"] | None, rows: slice
) -> Float32[Array, "5"]:
    """MEASURES of a mask and labels; the left and right edges within `rows`."""
    side = len(mask)
    measures = np.full(len(MEASURES), np.nan, dtype=np.float32)
    measures[0] = np.flatnonzero(mask.any(axis=1))[0] / side
    columns = np.flatnonzero(mask[rows].any(axis=0))
    if len(columns):
        measures[1:3] = columns[[0, -1]] / side
    if semantic is not None:
        face = np.argwhere(np.isin(semantic, FACE))
        if len(face):
            measures[3:] = face.mean(axis=0)[::-1] / side
    return measures
