"""Sketch: the few numbers of a frame that tell whether its picture and its pose belong together."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.tracks.track import FlameFrame

from .images import FramePixels, colours
from .labels import LABELS

# PosedPoints: where the head model says the head is in a frame's picture.


Float = NDArray[np.float32]

MOVES = 0.9
"""Share of a vertex that must follow the neck, the jaw or an eye to count as head; the rest is neck and shoulders."""

FRONT = 0.9
"""Quantile of depth above which a vertex of the head belongs to the middle of the face."""


@dataclass(frozen=True)
class Projection:
    """The head's vertices in a picture, as fractions of its side."""

    points: Float  # [N, 2] column and row
    front: Float  # [M, 2] those in the middle of the face
    behind: bool
    """Some of the head is not in front of the camera; the points then mean nothing."""


class PosedPoints:
    """Projects the vertices of a subject's head that follow the skull."""

    def __init__(self, head: HeadModel) -> None:
        self._head = head
        self._moving = np.flatnonzero(head.weights[:, 1:].sum(axis=1) > MOVES)
        depth = head.template[self._moving, 2]
        self._front = depth > np.quantile(depth, FRONT)

    def project(self, frame: FlameFrame) -> Projection:
        """Of one frame, which must have a camera."""
        assert frame.camera is not None
        vertices = UNITS_PER_METRE * self._head.vertices(frame.expression, frame.pose)[self._moving]
        matrix = frame.camera.image_matrix(1, 1)
        column, row, depth = matrix[:, :3] @ vertices.T + matrix[:, 3:]
        behind = bool(depth.min() <= 0)
        points = np.zeros((len(depth), 2), dtype=np.float32)
        if not behind:
            points[:, 0], points[:, 1] = column / depth, row / depth
        return Projection(points, points[self._front], behind)


THUMB = 24
"""Side of the small grey picture that stands for a frame."""

FACE = tuple(
    LABELS.index(name)
    for name in (
        "left brow", "right brow", "left eye", "right eye", "nose", "mouth interior", "upper lip", "lower lip",
    )
)  # fmt: skip
"""Labels whose middle follows the turning face."""

MEASURES = ("top", "left", "right", "column of the face", "row of the face")
"""What is measured in the mask and labels (`seen`) and on the posed head (`posed`), as fractions of the side."""


class FrameSummary(NamedTuple):
    """One frame of a video."""

    place: int
    """Index in its video."""
    digest: bytes
    """Equal for pictures that are the same pixel by pixel."""
    thumb: Float  # [THUMB, THUMB] grey in 0..1
    labels: NDArray[np.int64]  # [19] pixels of each label; none without labels
    area: float
    """Share of the picture that the mask covers."""
    seen: Float  # [5] see MEASURES; NaN where unknown
    posed: Float  # [5]
    inside: float
    """Share of the head's vertices within the mask; NaN without a head model."""
    in_picture: float
    """Share of the head's vertices within the picture; NaN without a head model."""
    behind: bool
    """Some of the head is behind the camera."""


def sketch(
    place: int, pixels: FramePixels, projection: Projection | None, keypoints: Float | None
) -> FrameSummary:
    """Measure a decoded frame.

    Args:
        projection: the posed head, where a head model is at hand.
        keypoints: `[70, 2]` in -1..1; they stand in for the face where there is no head model.
    """
    mask, grey = pixels.mask, colours(pixels).mean(axis=-1)
    posed: Float = np.full(len(MEASURES), np.nan, dtype=np.float32)
    inside, in_picture = np.nan, np.nan
    rows = slice(None)
    if projection is not None and not projection.behind:
        posed, rows = _extents(projection), _upper_half(projection, len(mask))
        inside, in_picture = _shares(projection.points, mask)
    elif projection is None and keypoints is not None:
        posed[3:] = (keypoints.mean(axis=0) + 1) / 2
    return FrameSummary(
        place=place,
        digest=hashlib.blake2b(
            np.ascontiguousarray(pixels.image).tobytes(), digest_size=16
        ).digest(),
        thumb=cv2.resize(grey, (THUMB, THUMB), interpolation=cv2.INTER_AREA),
        labels=np.zeros(len(LABELS), dtype=np.int64)
        if pixels.semantic is None
        else np.bincount(pixels.semantic.ravel(), minlength=len(LABELS)),
        area=float(mask.mean()),
        seen=_seen(mask, pixels.semantic, rows),
        posed=posed,
        inside=inside,
        in_picture=in_picture,
        behind=projection is not None and projection.behind,
    )


def _extents(projection: Projection) -> Float:
    columns, rows = projection.points.T
    return np.array(
        [rows.min(), columns.min(), columns.max(), *projection.front.mean(axis=0)], dtype=np.float32
    )


def _upper_half(projection: Projection, side: int) -> slice:
    """Rows from the top of the head to its middle: below, hair and shoulders widen the mask."""
    rows = projection.points[:, 1] * side
    return slice(*(int(np.clip(row, 0, side - 1)) for row in (rows.min(), rows.mean() + 1)))


def _shares(points: Float, mask: NDArray[np.bool_]) -> tuple[float, float]:
    side = len(mask)
    columns, rows = np.nan_to_num(points * side).round().clip(-1, side).astype(np.int64).T
    within = (columns >= 0) & (columns < side) & (rows >= 0) & (rows < side)
    inside = mask[rows.clip(0, side - 1), columns.clip(0, side - 1)] & within
    return float(inside.mean()), float(within.mean())


def _seen(mask: NDArray[np.bool_], semantic: NDArray[np.uint8] | None, rows: slice) -> Float:
    side = len(mask)
    seen = np.full(len(MEASURES), np.nan, dtype=np.float32)
    seen[0] = np.flatnonzero(mask.any(axis=1))[0] / side
    columns = np.flatnonzero(mask[rows].any(axis=0))
    if len(columns):
        seen[1:3] = columns[[0, -1]] / side
    if semantic is not None:
        face = np.argwhere(np.isin(semantic, FACE))
        if len(face):
            seen[3:] = face.mean(axis=0)[::-1] / side
    return seen
