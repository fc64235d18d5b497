"""Landmarks of a user's own detector, read from a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.errors import InputError, excerpt
from imavatar_deploy.untrusted.npz import array_of, read_npz

COUNTS = (68, 478)
"""Numbers of landmarks that are known: iBUG's scheme and MediaPipe's."""

KEY = "landmarks"
"""Name of the array in an `.npz` or `.json`."""


def read_landmarks(path: Path) -> Float32[Array, "T L D"]:
    """Read the landmarks of every frame of a video.

        .npy   an array [T, L, 2] or [T, L, 3]
        .npz   such an array called `landmarks`
        .json  such lists, or an object with them as `landmarks`; null for a frame without a face

    T is the number of frames of the video and L 68 (iBUG) or 478 (MediaPipe). Values are columns
    and rows in pixels of the video's upright picture, pixel centres at integers. NaN stands for a
    frame without a face.

    Raises:
        InputError: the file cannot be read or holds something else.
    """
    if not path.is_file():
        raise InputError(f"there is no file {str(path)!r} with landmarks")
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path} must end in {', '.join(READERS)} to be read as landmarks")
    try:
        with np.errstate(over="ignore"):  # too large numbers become infinite
            values = reader(path)
    except (OSError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise InputError(
            f"{path} does not hold landmarks that can be read ({excerpt(error)})"
        ) from error
    if values.ndim != 3 or values.shape[1] not in COUNTS or values.shape[2] not in (2, 3):
        raise InputError(
            f"{path} must hold [T, 68 or 478, 2 or 3] numbers, got {list(values.shape)}"
        )
    if np.isinf(values).any():
        raise InputError(f"{path} holds infinite numbers; NaN stands for a frame without a face")
    return values


def _json(path: Path) -> Float32[Array, "..."]:
    document: Any = json.loads(path.read_text(encoding="utf-8"))
    rows = document.get(KEY) if isinstance(document, dict) else document
    if not isinstance(rows, list):
        raise ValueError(f"expected a list of frames, or an object with {KEY!r}")
    shape = next((np.shape(row) for row in rows if row is not None), (0, 0))
    missing = np.full(shape, np.nan)
    return np.array([missing if row is None else row for row in rows], dtype=np.float32)


def _npz(path: Path) -> Float32[Array, "..."]:
    stored = read_npz(path, (KEY,))
    if KEY not in stored:
        raise ValueError(f"it has no array {KEY!r}")
    return np.asarray(stored[KEY], dtype=np.float32)


READERS = {
    ".npy": lambda path: np.asarray(array_of(path.read_bytes()), dtype=np.float32),
    ".npz": _npz,
    ".json": _json,
}
"""Reader for each file name extension."""
