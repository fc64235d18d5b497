"""The square of a video that is kept: the crop and its camera.

A dataset has one set of intrinsics for all frames, so the square stays where it is for the whole
video. It holds head and shoulders of every frame. Videos of one person share the intrinsics: their
squares are the same part of the field of view.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from imavatar_deploy.arrays import Array, Float32, Float64, UInt8
from imavatar_deploy.camera import default_focal
from imavatar_deploy.errors import UsageError
from imavatar_deploy.video.decode import VideoReader
from imavatar_deploy.video.metadata import focal_in_pixels

from .moments import clock
from .survey import BESIDE, Survey

OUTLIERS = 0.02
"""Share of the looks at each end that the square need not hold: a step out of the picture."""

SMALL_FACE = 96
"""Height of a face in pixels of the video below which its details are missing."""

CUT_SHARE = 0.15
"""Share of the square beyond the picture's border that is reported."""


@dataclass(frozen=True)
class Crop:
    """A square of a video's picture, and the camera of its resized pixels."""

    left: int
    """First column; negative where the square reaches beyond the picture."""
    top: int
    side: int
    """Pixels of the video."""
    size: int
    """Side of the resized square, pixels."""
    width: int
    """Width of the video's picture, pixels."""
    height: int
    focal: float
    """Focal length in pixels of the video."""
    focal_source: str

    @property
    def scale(self) -> float:
        """Pixels of the resized square in one pixel of the video."""
        return self.size / self.side

    def intrinsics(self) -> Float32[Array, "4"]:
        """Return fx, fy, cx, cy of the resized square, as fractions of its side.

        The lens points at the middle of the video's picture. Pixel centres are at integers.
        """
        focal = self.focal / self.side
        middle = np.array([(self.width - 1) / 2 - self.left, (self.height - 1) / 2 - self.top])
        column, row = (middle + 0.5) / self.side - 0.5 / self.size
        return np.array([focal, focal, column, row], dtype=np.float32)

    def apply(self, image: UInt8[Array, "H W ..."]) -> UInt8[Array, "S S ..."]:
        """Cut the square out of a picture of the video and resize it.

        Beyond the border the outermost pixels are repeated.
        """
        way = cv2.INTER_AREA if self.size <= self.side else cv2.INTER_CUBIC
        return self._resized(image, way)

    def apply_nearest(self, labels: UInt8[Array, "H W"]) -> UInt8[Array, "S S"]:
        """Cut the square out of a picture of labels, which are not averaged."""
        return self._resized(labels, cv2.INTER_NEAREST_EXACT)

    def _resized(self, image: UInt8[Array, "H W ..."], way: int) -> UInt8[Array, "S S ..."]:
        rows = np.arange(self.top, self.top + self.side).clip(0, self.height - 1)
        columns = np.arange(self.left, self.left + self.side).clip(0, self.width - 1)
        inside = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        if inside.shape[:2] != (self.side, self.side):
            inside = inside[rows - rows[0]][:, columns - columns[0]]
        return np.asarray(cv2.resize(inside, (self.size, self.size), interpolation=way))

    def points(self, points: Float32[Array, "L D"]) -> Float32[Array, "L D"]:
        """Move points of the video's picture to the resized square; a depth is scaled along."""
        moved = np.array(points, dtype=np.float32)
        corner = np.array([self.left, self.top], dtype=np.float32)
        moved[:, :2] = (moved[:, :2] - corner + 0.5) * self.scale - 0.5
        moved[:, 2:] *= self.scale
        return moved

    def outside(self) -> tuple[int, int, int, int]:
        """Columns at the left, rows at the top, columns at the right and rows at the bottom of the
        resized square that lie beyond the picture's border.
        """
        beyond = (
            -self.left,
            -self.top,
            self.left + self.side - self.width,
            self.top + self.side - self.height,
        )
        left, top, right, bottom = (max(0, round(edge * self.scale)) for edge in beyond)
        return left, top, right, bottom


@dataclass(frozen=True)
class FocalLength:
    """A focal length in pixels of a video and where it comes from."""

    pixels: float
    source: str
    note: str


FOCAL_RANGE = (0.25, 30.0)
"""Focal lengths of `--focal`, in longer sides of the picture: fields of view of 127 to 2
degrees."""


def focal_length(reader: VideoReader, option: float | None) -> FocalLength:
    """Return the focal length of a video: the option's, its metadata's, or the default.

    Raises:
        UsageError: the option's is impossible for a picture of this size.
    """
    info = reader.info
    name = reader.path.name
    longer = max(info.width, info.height)
    if option is not None:
        if not FOCAL_RANGE[0] * longer <= option <= FOCAL_RANGE[1] * longer:
            field = np.degrees(2 * np.arctan(0.5 * longer / option))
            raise UsageError(
                f"--focal {option:g} would be a field of view of {field:.3g} degrees for {name} of "
                f"{info.width} x {info.height} pixels: give the focal length in pixels of this "
                "picture, of a phone 0.7 to 1.5 times its longer side"
            )
        return FocalLength(option, "--focal", f"{name}: focal length {option:g} pixels, as stated")
    if info.focal_35mm is not None:
        pixels = focal_in_pixels(info.focal_35mm, info.width, info.height)
        note = (
            f"{name}: focal length {pixels:.0f} pixels, from the {info.focal_35mm:g} mm (on 35 mm "
            "film) in its metadata"
        )
        return FocalLength(pixels, "EXIF", note)
    pixels = default_focal(info.width, info.height)
    field = np.degrees(2 * np.arctan(0.5 * max(info.width, info.height) / pixels))
    note = (
        f"{name} does not state its focal length: {pixels:.0f} pixels (a field of view of "
        f"{field:.0f} degrees along the longer side) were assumed; --focal PIXELS sets it"
    )
    return FocalLength(pixels, "default", note)


def choose_crops(
    surveys: Sequence[Survey], focals: Sequence[FocalLength], size: int
) -> tuple[Crop, ...]:
    """Choose the square of every video, the same part of the field of view in all of them.

    Args:
        surveys: the faces of the videos.
        focals: their focal lengths.
        size: side of the resized squares, pixels.
    """
    squares = [_square(look) for look in surveys]
    if len(squares) > 1:
        squares = _shared(squares, surveys, focals)
    crops = []
    for (left, top, side), look, focal in zip(squares, surveys, focals, strict=True):
        pixels = max(1, round(side))
        crops.append(
            Crop(
                left=round(left + (side - pixels) / 2),
                top=round(top + (side - pixels) / 2),
                side=pixels,
                size=size,
                width=look.width,
                height=look.height,
                focal=focal.pixels,
                focal_source=focal.source,
            )
        )
    return tuple(crops)


Square = tuple[float, float, float]
"""Left, top and side, pixels of the video."""


def _extent(look: Survey) -> Float64[Array, "4"]:
    """Left, top, right, bottom of what the square is to hold."""
    low = np.quantile(look.regions[:, :2], OUTLIERS, axis=0)
    high = np.quantile(look.regions[:, 2:], 1 - OUTLIERS, axis=0)
    return np.concatenate([low, high])


def _square(look: Survey) -> Square:
    """The square of one video, moved and shrunk into the picture where it can be."""
    left, top, right, bottom = _extent(look)
    side = max(right - left, bottom - top)
    # Not larger than the picture, unless that would cut the faces themselves.
    face = float(np.median(look.faces))
    needed = max(right - left - face * (2 * BESIDE - 1.2), bottom - top - face * 0.7)
    side = max(min(side, look.width, look.height), min(side, needed))
    column = (left + right) / 2 - side / 2
    # What does not fit is cut below: shoulders can be spared, hair cannot.
    row = (top + bottom) / 2 - side / 2 if side >= bottom - top else top
    return (
        _moved_inside(column, side, look.width),
        _moved_inside(row, side, look.height),
        side,
    )


def _moved_inside(start: float, side: float, length: int) -> float:
    """Start of an interval, moved into 0..length; centred on it where it is longer."""
    if side >= length:
        return (length - side) / 2
    return float(np.clip(start, 0, length - side))


def _shared(
    squares: Sequence[Square], surveys: Sequence[Survey], focals: Sequence[FocalLength]
) -> list[Square]:
    """Squares that are one and the same part of the field of view, and hold the given ones."""
    rays = []
    for (left, top, side), look, focal in zip(squares, surveys, focals, strict=True):
        corner = np.array([left + 0.5 - look.width / 2, top + 0.5 - look.height / 2])
        rays.append(np.array([corner, corner + side]) / focal.pixels)
    low = np.min([ray[0] for ray in rays], axis=0)
    high = np.max([ray[1] for ray in rays], axis=0)
    side = float((high - low).max())
    corner = (low + high) / 2 - side / 2
    return [
        (
            float(corner[0] * focal.pixels + look.width / 2 - 0.5),
            float(corner[1] * focal.pixels + look.height / 2 - 0.5),
            side * focal.pixels,
        )
        for look, focal in zip(surveys, focals, strict=True)
    ]


def crop_notes(crop: Crop, look: Survey, name: str) -> list[str]:
    """Notes on a crop and the faces in it, one sentence each."""
    notes = []
    face = float(np.median(look.faces))
    if face < SMALL_FACE:
        notes.append(
            f"{name}: the face is only {face:.0f} pixels high, so its details are missing; film "
            "from nearer"
        )
    beyond = sum(crop.outside()) / crop.size
    if beyond > CUT_SHARE:
        notes.append(
            f"{name}: {beyond:.0%} of the square around the head lie beyond the picture's border; "
            "leave room around the head"
        )
    if len(look.second_faces):
        start, end = look.second_faces[0], look.second_faces[-1]
        notes.append(
            f"{name}: a second face is visible ({clock(start)} to {clock(end)}); one face is "
            "followed from the first frame on"
        )
    return notes
