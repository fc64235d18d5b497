"""Images for the networks: the check of an input image, crops of rotated squares, resizing.

Pixel centres are at integers, so an image of W columns reaches from -0.5 to W - 0.5.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from imavatar_deploy.arrays import Array, Float, Float32, UInt8
from imavatar_deploy.errors import InputError

from .region import FaceRegion


def checked_image(image: Any) -> UInt8[Array, "H W 3"]:
    """Return `image` after a check that it is an RGB image of 8 bits.

    Raises:
        InputError: it is not.
    """
    shape, kind = getattr(image, "shape", None), getattr(image, "dtype", None)
    if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3:
        raise InputError(
            f"an image must be an array [H, W, 3] of RGB, got {type(image).__name__}"
            + (f" of shape {list(shape)}" if shape is not None else "")
            + "; convert a grey one by np.repeat(image[:, :, None], 3, axis=2), "
            "and drop an alpha channel by image[:, :, :3]"
        )
    if image.dtype != np.uint8:
        raise InputError(f"an image must be uint8 in 0..255, got {kind}; convert it")
    if 0 in image.shape:
        raise InputError(f"an image must have pixels, got shape {list(image.shape)}")
    return image


def crop_region(
    image: UInt8[Array, "H W 3"], region: FaceRegion, size: int
) -> UInt8[Array, "size size 3"]:
    """Return the pixels of a region, upright and `size` pixels wide; black outside the image.

    Where the region is at least twice as wide, the image is first reduced by averaging whole blocks
    of pixels, so that the crop does not alias.
    """
    matrix = region.matrix(size)
    factor = int(region.side // size)
    if factor >= 2:
        image, matrix = _reduced(image, region, matrix, factor)
        if image.size == 0:
            return np.zeros((size, size, 3), np.uint8)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, matrix, (size, size), flags=flags)


def _reduced(
    image: UInt8[Array, "H W 3"], region: FaceRegion, matrix: Float[Array, "2 3"], factor: int
) -> tuple[UInt8[Array, "h w 3"], Float[Array, "2 3"]]:
    """Cut out the surroundings of a region, reduce them, and adapt the crop's matrix to them."""
    height, width = image.shape[:2]
    corners = region.corners()
    low = np.floor(corners.min(axis=0)).astype(int) - factor
    high = np.ceil(corners.max(axis=0)).astype(int) + factor + 1
    left, top = (int(value) for value in np.maximum(low, 0))
    right, bottom = (int(value) for value in np.minimum(high, (width, height)))
    columns, rows = (right - left) // factor, (bottom - top) // factor
    if columns < 1 or rows < 1:
        return np.zeros((0, 0, 3), np.uint8), matrix
    part = image[top : top + rows * factor, left : left + columns * factor]
    small = cv2.resize(part, (columns, rows), interpolation=cv2.INTER_AREA)
    # Pixel x of the image lies at (x - left + 1/2) / factor - 1/2 in the reduced part.
    adapted = matrix / factor
    adapted[:, 2] += (0.5 - np.array([left, top])) / factor - 0.5
    return small, adapted


def fit_into(image: UInt8[Array, "H W 3"], size: int) -> tuple[UInt8[Array, "size size 3"], float]:
    """Return the image inside a black square at the top left, and pixels of it per square's pixel.

    The whole image is reduced (by averaging) or enlarged with its aspect ratio.
    """
    height, width = image.shape[:2]
    scale = max(height, width) / size
    columns, rows = max(1, round(width / scale)), max(1, round(height / scale))
    square = np.zeros((size, size, 3), np.uint8)
    square[:rows, :columns] = resize(image, columns, rows)
    return square, scale


def resize(image: UInt8[Array, "H W 3"], columns: int, rows: int) -> UInt8[Array, "rows columns 3"]:
    """Return the image with another size: averaged where it shrinks, else interpolated."""
    shrinks = image.shape[0] >= rows and image.shape[1] >= columns
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, (columns, rows), interpolation=method)


def resize_mask(mask: Float32[Array, "h w"], columns: int, rows: int) -> Float32[Array, "H W"]:
    """Return a mask with another size, interpolated linearly."""
    return cv2.resize(mask, (columns, rows), interpolation=cv2.INTER_LINEAR)
