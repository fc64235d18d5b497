"""Backgrounds behind transparent pixels, for sinks without transparency."""

from __future__ import annotations

import cv2
import numpy as np

from imavatar_deploy.arrays import Array, UInt8

from .sink import Image, Stream

RgbImage = UInt8[Array, "H W 3"]
"""An opaque image."""

SQUARE_SIDE = 16
"""Side of a square of the chequered background, pixels; the usual sign of transparency."""

LIGHT_GREY = 225
DARK_GREY = 190
"""Grey levels of the squares."""


def white(stream: Stream) -> RgbImage:
    """White background `[H, W, 3]`."""
    return np.full((stream.height, stream.width, 3), 255, dtype=np.uint8)


def chequered(stream: Stream) -> RgbImage:
    """Background `[H, W, 3]` of light and darker grey squares."""
    row, column = np.ogrid[: stream.height, : stream.width]
    even = (row // SQUARE_SIDE + column // SQUARE_SIDE) % 2 == 0
    return np.repeat(np.where(even, LIGHT_GREY, DARK_GREY).astype(np.uint8)[..., None], 3, axis=2)


def over(image: Image, background: RgbImage) -> RgbImage:
    """`[H, W, 3]` RGB of an RGBA image `[H, W, 4]` over a background `[H, W, 3]`.

    OpenCV takes 0.6 ms at 512², numpy 2.1 ms.
    """
    alpha = cv2.extractChannel(image, 3).astype(np.float32)
    colours = cv2.cvtColor(image, cv2.COLOR_RGBA2RGB)
    return np.asarray(cv2.blendLinear(colours, background, alpha, 255 - alpha), np.uint8)
