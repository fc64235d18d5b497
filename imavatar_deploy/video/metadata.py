"""Metadata of video files: the turn of the picture and the focal length of the lens."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from imavatar_deploy.arrays import Array, Int32

FOCAL_KEYS = ("focal_length.35mm_equivalent", "focallengthin35mmfilm", "focallengthin35mmformat")
"""Ends of the names of tags with the focal length for 35 mm film: QuickTime's and EXIF's."""

FOCAL_RANGE = (8.0, 800.0)
"""Focal lengths of real lenses, millimetres for 35 mm film."""

FILM_DIAGONAL = 43.2666
"""Diagonal of a picture on 35 mm film, 36 x 24 mm."""


def quarter_turns(matrix: bytes | None, tags: Mapping[str, str]) -> Int32[Array, "2 2"]:
    """Return the turn that makes a picture upright, as a matrix of 0, 1 and -1.

    A pixel at (column, row) moves to (column, row) @ turn, up to a shift.

    Args:
        matrix: the display matrix of the file, 9 numbers of 32 bits with 16 after the point.
        tags: metadata of the file; an older form is the tag `rotate`, degrees clockwise.
    """
    if matrix is not None and len(matrix) >= 36:
        linear = np.frombuffer(matrix[:36], dtype="<i4").reshape(3, 3)[:2, :2] / 65536.0
    else:
        linear = _clockwise(_rotate_tag(tags))
    upright = np.abs(linear[0, 0]) + np.abs(linear[1, 1]) >= np.abs(linear[0, 1]) + np.abs(
        linear[1, 0]
    )
    kept = np.where(np.eye(2, dtype=bool) == upright, np.sign(linear), 0.0).astype(np.int32)
    if abs(round(float(np.linalg.det(kept)))) != 1:  # the file holds no turn
        return np.eye(2, dtype=np.int32)
    return kept


def _rotate_tag(tags: Mapping[str, str]) -> float:
    for key, value in tags.items():
        if key.lower() == "rotate":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 0.0


def _clockwise(degrees: float) -> Array:
    """Turn by degrees clockwise on a screen, whose rows run down."""
    angle = np.radians(degrees)
    return np.round(np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]), 6)


def focal_length_35mm(tags: Mapping[str, str]) -> float | None:
    """Return the focal length in millimetres for 35 mm film that metadata state, or None."""
    for key, value in tags.items():
        if not key.lower().replace("-", "").endswith(FOCAL_KEYS):
            continue
        try:
            focal = float(str(value).removesuffix("mm"))
        except ValueError:
            continue
        if FOCAL_RANGE[0] <= focal <= FOCAL_RANGE[1]:
            return focal
    return None


def focal_in_pixels(focal_35mm: float, width: int, height: int) -> float:
    """Convert a focal length for 35 mm film to pixels of a picture, by their diagonals."""
    return focal_35mm / FILM_DIAGONAL * float(np.hypot(width, height))
