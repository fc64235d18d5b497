"""Compositing: colours and coverage to RGBA bytes over a background or a transparent one."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.arrays import Array, Float32, Int32, UInt8
from imavatar_deploy.errors import UsageError

from .workers import Workers, kernel

# Arrays in compiled loops
Floats = NDArray[np.float32]
Index = NDArray[np.int32]
Bytes = NDArray[np.uint8]

Background = str | Sequence[int] | None
"""`#rrggbb`, a name in `COLOURS`, three integers in 0..255, or None for transparent."""

COLOURS = {
    "white": "#ffffff",
    "black": "#000000",
    "grey": "#808080",
    "green": "#00b140",
    "blue": "#0047bb",
}
"""Named backgrounds; green and blue are the usual ones for keying."""

TRANSPARENT = (0, 0, 0, 0)
"""RGBA bytes of the transparent background."""


def background_rgba(background: Background) -> tuple[int, ...]:
    """Return the RGBA bytes of a background.

    Raises:
        UsageError: it is not a colour.
    """
    if background is None:
        return TRANSPARENT
    if isinstance(background, str):
        digits = re.fullmatch(r"#([0-9a-fA-F]{6})", COLOURS.get(background, background))
        colour = tuple(bytes.fromhex(digits[1])) if digits else ()
    else:
        colour = tuple(background)
    if len(colour) != 3 or not all(isinstance(part, int) and 0 <= part <= 255 for part in colour):
        raise UsageError(
            f"a background is '#rrggbb', three numbers in 0..255, or one of {', '.join(COLOURS)}; "
            f"got {background!r}"
        )
    return (*colour, 255)


def composite(
    colours: Float32[Array, "H W 3"],
    triangle: Int32[Array, "H W"],
    background: tuple[int, ...],
    workers: Workers,
) -> UInt8[Array, "H W 4"]:
    """Return RGBA bytes: the colours where a triangle covers the pixel, else the background.

    Args:
        colours: in 0..1; undefined where no triangle covers the pixel.
        triangle: -1 where no triangle covers the pixel.
        background: RGBA bytes.
    """
    image = np.zeros((*triangle.shape, 4), dtype=np.uint8)
    workers.each(
        _composite, len(image), colours, triangle, np.array(background, dtype=np.uint8), image
    )
    return image


@kernel
def _composite(
    start: int, stop: int, colours: Floats, triangle: Index, background: Bytes, image: Bytes
) -> None:
    """Composite the rows start..stop; round to the nearest byte, halves upwards."""
    for y in range(start, stop):
        for x in range(triangle.shape[1]):
            if triangle[y, x] < 0:
                for channel in range(4):
                    image[y, x, channel] = background[channel]
                continue
            for channel in range(3):
                value = colours[y, x, channel] * np.float32(255.0) + np.float32(0.5)
                image[y, x, channel] = (
                    np.uint8(min(value, np.float32(255.0))) if value > 0.0 else np.uint8(0)
                )
            image[y, x, 3] = 255
