"""Observation: everything a dataset knows about one frame, besides its pose and camera (which are in the track)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Observation:
    """One frame of ground truth, square, with pixel centres at integer coordinates (see `camera.Camera`)."""

    name: str
    """Of the frame, as its files are called: `12`."""
    video: str
    """Name of the video's folder."""
    image: Float  # [H, W, 3] in 0..1, white where the mask is false
    mask: NDArray[np.bool_]  # [H, W]
    semantic: NDArray[np.uint8] | None  # [H, W] label ids, see labels.py
    normal: Float | None  # [H, W, 3] unit, model space, zero where the mask is false; synthetic sets only
    depth: Float | None  # [H, W] model units in front of the camera, 0 where unknown; synthetic sets only
    bbox: tuple[int, int, int, int] | None
    """First column, first row, last column, last row of the face's landmarks, clipped to the image."""
    keypoints: Float | None  # [70, 2] column and row: 17 contour, 51 inner, 2 irises
