"""Pixels: the pictures of one frame, decoded, checked against each other and brought to one size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.errors import InputError, UsageError

from .picture import Picture, check_same_size, check_square, decode

Float = NDArray[np.float32]

OPAQUE = 127.5
"""A matte above this is the person (published)."""

DEPTH_UNIT = 1.0 / 8192.0
"""Model units a step of a depth picture."""


TARGETS = (8, 4096)
"""Smallest and largest side in pixels that frames may be resized to."""


class Pixels(NamedTuple):
    """What a frame's files hold, in the smallest type that keeps it: this is what is cached."""

    image: Picture  # [S, S, 3] RGB in 0..255, uint8, or float32 where it was resized
    mask: NDArray[np.bool_]  # [S, S]
    semantic: NDArray[np.uint8] | None  # [S, S]
    normal: NDArray[np.uint16] | None  # [S, S, 3]
    depth: NDArray[np.uint16] | None  # [S, S]

    @property
    def bytes(self) -> int:
        """Memory it takes."""
        return sum(array.nbytes for array in self if array is not None)


def load(files: Mapping[str, Path], size: int) -> Pixels:
    """Decode the pictures of one frame and resize them to `size`: colours and matte smoothly, the rest by nearest.

    Args:
        files: by kind; `image` and `mask` must be among them.

    Raises:
        InputError: a file is missing, damaged, not square, or of another size than the image, or the mask is empty.
    """
    image = decode(files["image"], "image")
    check_square(files["image"], image)
    matte = decode(files["mask"], "mask")
    check_same_size(files["mask"], matte, image)
    person = _smooth(matte, size) > OPAQUE
    if not person.any():
        raise InputError(f"{files['mask']} is empty: no pixel is above {OPAQUE:.0f}; mend the mask or drop the frame")
    others = (_beside(image, files, kind) for kind in ("semantic", "normal", "depth"))
    return Pixels(_smooth(image, size), person, *(None if other is None else _nearest(other, size) for other in others))


def _beside(image: Picture, files: Mapping[str, Path], kind: str) -> Picture | None:
    """The picture of a kind, which must cover the image pixel by pixel; None where there is no such kind."""
    if kind not in files:
        return None
    picture = decode(files[kind], kind)
    check_same_size(files[kind], picture, image)
    return picture


def check_target(size: int) -> None:
    """Refuse a side that frames cannot sensibly be resized to."""
    if not TARGETS[0] <= size <= TARGETS[1]:
        raise UsageError(f"size must be between {TARGETS[0]} and {TARGETS[1]} pixels, got {size}")


def _smooth(picture: Picture, size: int) -> Picture:
    if picture.shape[0] == size:
        return picture
    resized: Picture = cv2.resize(picture.astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
    return resized


def _nearest(picture: Picture, size: int) -> Picture:
    if picture.shape[0] == size:
        return picture
    resized: Picture = cv2.resize(picture, (size, size), interpolation=cv2.INTER_NEAREST_EXACT)
    return resized


def colours(pixels: Pixels) -> Float:
    """[S, S, 3] in 0..1, white outside the mask."""
    image = np.asarray(pixels.image, dtype=np.float32) / np.float32(255)
    return np.where(pixels.mask[..., None], image, np.float32(1))


def normals(pixels: Pixels) -> Float | None:
    """[S, S, 3] unit vectors, zero outside the mask."""
    if pixels.normal is None:
        return None
    direction = pixels.normal.astype(np.float32) * np.float32(2 / 65535) - np.float32(1)
    length = np.sqrt(np.einsum("...i,...i->...", direction, direction))
    return np.where(pixels.mask[..., None], direction / np.maximum(length, 1e-6)[..., None], np.float32(0))


def depths(pixels: Pixels) -> Float | None:
    """[S, S] model units in front of the camera, 0 outside the mask."""
    if pixels.depth is None:
        return None
    return np.where(pixels.mask, pixels.depth.astype(np.float32) * np.float32(DEPTH_UNIT), np.float32(0))
