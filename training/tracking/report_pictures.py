"""Pictures of the track report: overlays, masks and labels of frames as JPEG files in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from imavatar_deploy.arrays import Array, Float64, UInt8
from imavatar_deploy.dataset.images import OPAQUE, decode
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.jpeg import encode_jpeg

from .overlay import draw_overlay, head_projector, moved_points, point_errors
from .result import TrackResult

OVERLAY_SIDE = 400
PART_SIDE = 176
"""Sides of the overlays, and of masks and labels, pixels: 14 frames take about one megabyte."""

QUALITY = 80
"""JPEG quality of the pictures."""

VIEW = 1.9
"""Side of the part of the picture that an overlay shows, relative to the face's landmarks."""

BACKGROUND = (214, 40, 160)
"""Colour of the background in pictures of masks: rare in photographs of people."""

LABEL_COLOURS = (
    (40, 40, 48), (236, 188, 150), (120, 70, 200), (180, 110, 240), (60, 150, 240), (120, 200, 255),
    (90, 90, 90), (230, 130, 60), (250, 170, 90), (250, 220, 60), (240, 150, 130), (150, 20, 40),
    (220, 60, 100), (250, 110, 140), (180, 210, 120), (240, 240, 120), (60, 150, 110),
    (120, 80, 40), (200, 60, 60),
)  # fmt: skip
"""Colour of each label of `labels.LABELS`."""

LABEL_STRENGTH = 0.7
"""Opacity of the labels' colours over the picture."""


class ReportPictures:
    """Draws the pictures of frames of a track.

    Args:
        result: the track.
        head: head model of its edition, or None to draw landmarks alone.
    """

    def __init__(self, result: TrackResult, head: HeadModel | None) -> None:
        self._result = result
        self._projector = None if head is None else head_projector(result, head)

    def overlay(self, index: int) -> bytes:
        """JPEG of the face of a frame with its landmarks and the fitted head."""
        picture = self._decoded("image", index)
        points = np.asarray(self._result.landmarks[index, :, :2], dtype=np.float64)
        offset, side = _view(points, len(picture))
        scale = OVERLAY_SIDE / side
        left, top = offset.astype(int)
        part = cv2.resize(
            picture[top : top + side, left : left + side],
            (OVERLAY_SIDE, OVERLAY_SIDE),
            interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC,
        )
        head = self._projector.project(index).moved(offset, scale) if self._projector else None
        errors = point_errors(self._result, index)
        drawn = draw_overlay(part, head, moved_points(points, offset, scale), errors, wire=True)
        return encode_jpeg(drawn, QUALITY)

    def parts(self, index: int) -> dict[str, bytes]:
        """JPEGs of the mask and the labels of a frame, by their names, where the files exist."""
        picture = _small(self._decoded("image", index))
        parts = {}
        if self._exists("mask", index):
            mask = _small(self._decoded("mask", index))[..., None] > OPAQUE
            faded = 0.3 * picture + 0.7 * np.array(BACKGROUND)
            masked = np.where(mask, picture, faded).round().astype(np.uint8)
            parts["Mask"] = encode_jpeg(masked, QUALITY)
        if self._exists("semantic", index):
            labels = cv2.resize(
                self._decoded("semantic", index),
                (PART_SIDE, PART_SIDE),
                interpolation=cv2.INTER_NEAREST,
            )
            colours = np.array(LABEL_COLOURS)[labels]
            mixed = LABEL_STRENGTH * colours + (1.0 - LABEL_STRENGTH) * picture
            parts["Labels"] = encode_jpeg(mixed.round().astype(np.uint8), QUALITY)
        return parts

    def labels_seen(self, indices: Sequence[int]) -> set[int]:
        """Ids of the labels in some frames."""
        return {
            int(label)
            for index in indices
            if self._exists("semantic", index)
            for label in np.unique(self._decoded("semantic", index))
        }

    def _exists(self, kind: str, index: int) -> bool:
        return self._path(kind, index).is_file()

    def _decoded(self, kind: str, index: int) -> UInt8[Array, "H W ..."]:
        return decode(self._path(kind, index), kind)

    def _path(self, kind: str, index: int) -> Path:
        return self._result.folder / kind / f"{self._result.names[index]}.png"


def _view(points: Float64[Array, "L 2"], size: int) -> tuple[Float64[Array, "2"], int]:
    """Upper left corner and side of a square around the face, within the picture."""
    low, high = points.min(axis=0), points.max(axis=0)
    side = int(np.clip(round(VIEW * float((high - low).max())), 16, size))
    corner = np.round((low + high) / 2 - side / 2)
    return np.clip(corner, 0, size - side), side


def _small(picture: UInt8[Array, "H W ..."]) -> UInt8[Array, "S S ..."]:
    small = cv2.resize(picture, (PART_SIDE, PART_SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8)
