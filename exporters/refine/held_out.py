"""The frames that a refinement holds out, and its measures on them."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from imavatar_deploy.arrays import Array, Float64, Int64
from imavatar_deploy.fidelity.image_metrics import psnr_of

from .raster_frames import EYES, MAX_PIXELS, MOUTH, RasterFrames
from .refinable_student import RefinableStudent, frame_colours

STRETCH = 60
"""Frames for which one stretch is held out, up to `MOST_STRETCHES`."""

MOST_STRETCHES = 5

SHARE = 0.1
"""Share of the frames that is held out."""

MIN_FRAMES = 10
"""Smallest number of frames; with fewer, nothing can be held out and yet fitted."""


def held_out_rows(frames: int) -> Int64[Array, " N"]:
    """Return which of the frames of a video are held out.

    They are the last tenth of each of one to five equal parts of the video. A stretch of
    consecutive frames is an honest test, because neighbouring frames are nearly the same picture.
    Several stretches show more of what happens in the video than its end alone.
    """
    parts = int(np.clip(frames // STRETCH, 1, MOST_STRETCHES))
    edges = np.linspace(0, frames, parts + 1).astype(np.int64)
    rows = [
        np.arange(stop - max(round(SHARE * (stop - start)), 1), stop)
        for start, stop in pairwise(edges.tolist())
    ]
    return np.concatenate(rows)


def within_memory(frames: int, size: int) -> Int64[Array, " N"]:
    """Return evenly spaced frames whose pictures have at most `MAX_PIXELS` together."""
    count = min(frames, max(MAX_PIXELS // (size * size), MIN_FRAMES))
    return np.linspace(0, frames - 1, count).astype(np.int64)


def split_frames(frames: int, size: int) -> tuple[Int64[Array, " M"], Int64[Array, " N"]]:
    """Return the frames of a video that a refinement is fitted to, and those that it holds out.

    Args:
        frames: number of all frames.
        size: side of the pictures, pixels.
    """
    selected = within_memory(frames, size)
    held_out = held_out_rows(len(selected))
    return np.delete(selected, held_out), selected[held_out]


class ImageError(NamedTuple):
    """Difference of a student from the pictures, where mask and surface agree.

    Each is the mean over the frames; NaN where no frame shows the region.
    """

    l1: float
    """Mean absolute difference of the colours in 0..1."""
    psnr: float
    """Decibels."""
    mouth_l1: float
    eyes_l1: float

    def is_better_than(self, other: ImageError) -> bool:
        """Whether both `l1` and `psnr` are better."""
        return self.l1 < other.l1 and self.psnr > other.psnr


def measure(student: RefinableStudent, frames: RasterFrames) -> ImageError:
    """Compare the student with the pictures of every frame."""
    values = np.array([_measure_frame(student, frames, t) for t in range(len(frames))])
    return ImageError(*map(float, _means(values)))


def _means(values: Float64[Array, "T K"]) -> Float64[Array, " K"]:
    """Mean over the frames that define a value; NaN where none does."""
    defined = ~np.isnan(values)
    total = np.where(defined, values, 0.0).sum(axis=0)
    return np.where(defined.any(axis=0), total / np.maximum(defined.sum(axis=0), 1), np.nan)


def _measure_frame(student: RefinableStudent, frames: RasterFrames, t: int) -> tuple[float, ...]:
    rows = frames.rows(t)
    if not len(rows):
        return (np.nan,) * len(ImageError._fields)
    colours = frames.colour[rows].astype(np.float32) / np.float32(255)
    difference = frame_colours(student, frames, t) - colours
    absolute = np.abs(difference)
    region = frames.region[rows]
    mouth, eyes = (absolute[(region & bit) > 0] for bit in (MOUTH, EYES))
    return (
        float(absolute.mean()),
        psnr_of(float(np.square(difference).mean())),
        float(mouth.mean()) if mouth.size else np.nan,
        float(eyes.mean()) if eyes.size else np.nan,
    )
