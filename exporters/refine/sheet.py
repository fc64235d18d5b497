"""A sheet of held-out frames: the picture beside the students before and after the refinement."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from imavatar_deploy.arrays import Array, UInt8
from imavatar_deploy.jpeg import encode_jpeg
from imavatar_deploy.marking import marked_jpeg

from .raster_frames import RasterFrames, Shots
from .refinable_student import RefinableStudent, frame_colours

ROWS = 3
"""Largest number of frames of a sheet."""

SIDE = 320
"""Side of a picture of a sheet, pixels."""

QUALITY = 90
"""JPEG quality of a sheet."""


def comparison_sheet(
    shots: Shots, columns: Sequence[tuple[RefinableStudent, RasterFrames]], side: int = SIDE
) -> UInt8[Array, "H W 3"]:
    """Return a sheet with a row for each of some evenly spaced frames.

    Args:
        shots: the pictures, which are the first column.
        columns: students, and the surface drawn in the frames of `shots`, of the further columns.
        side: side of each picture, pixels.
    """
    count = min(ROWS, len(shots))
    rows = []
    for t in ((np.arange(count) + 0.5) * len(shots) / count).astype(int).tolist():
        drawn = [draw_student(student, frames, t, shots.size) for student, frames in columns]
        rows.append(np.concatenate([_scaled(one, side) for one in (shots.image[t], *drawn)], 1))
    return np.concatenate(rows)


def draw_student(
    student: RefinableStudent, frames: RasterFrames, t: int, size: int
) -> UInt8[Array, "S S 3"]:
    """Return frame t in the colours of a student, white outside its mask."""
    rows = frames.rows(t)
    image = np.full((size * size, 3), 255, dtype=np.uint8)
    image[frames.place[rows]] = np.rint(255.0 * frame_colours(student, frames, t))
    return image.reshape(size, size, 3)


def write_sheet(path: Path, sheet: UInt8[Array, "H W 3"], synthetic_mark: bool) -> None:
    """Write a sheet as a JPEG.

    Args:
        path: the file to write; its folder is made.
        sheet: the picture.
        synthetic_mark: whether it carries the mark of `imavatar_deploy.marking`.
    """
    jpeg = encode_jpeg(sheet, QUALITY)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(marked_jpeg(jpeg) if synthetic_mark else jpeg)


def _scaled(image: UInt8[Array, "S S 3"], side: int) -> UInt8[Array, "_ _ 3"]:
    method = cv2.INTER_AREA if side < len(image) else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (side, side), interpolation=method), dtype=np.uint8)
