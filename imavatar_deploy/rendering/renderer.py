"""Interface, configuration and background of a renderer of one avatar at one image size."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from imavatar_deploy.arrays import Array, Float32, UInt8
from imavatar_deploy.avatar_io import AvatarFolder
from imavatar_deploy.errors import UsageError

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

StageCallback = Callable[[], object]
"""Called after each of `STAGES`, to time it."""

NO_ANTIALIASING = "none"
EDGES = "edges"
SUPERSAMPLING = "4x"

ANTIALIASING = {
    NO_ANTIALIASING: "one surface in each pixel",
    EDGES: "outlines by the share of the pixel that each surface covers",
    SUPERSAMPLING: "four samples in each pixel, at four times the cost",
}
"""The table of `--antialias`."""

STAGES = ("animate", "normals", "raster", "shade", "composite")
"""The stages of a frame, in the order in which they run."""


def untimed() -> None:
    """Stage callback of frames that are not timed; a device is not synchronised between stages."""


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


@dataclass(frozen=True)
class RenderConfig:
    """Avatar, image size, shading and background of a renderer."""

    folder: AvatarFolder
    width: int
    """Pixels."""
    height: int
    """Pixels."""
    shading: str
    """A row of `shading.SHADINGS`."""
    background: tuple[int, ...] = TRANSPARENT
    """RGBA bytes of the pixels that the avatar does not cover."""
    threads: int | None = None
    """Cores to use on the host; all of them when None."""
    antialias: str = NO_ANTIALIASING
    """A row of `ANTIALIASING`. Metrics and parity checks compare pixels without anti-aliasing;
    `supersampling.open_antialiased` opens the renderer of `4x`."""


class Renderer(Protocol):
    """Draws one avatar into images of one size, in float32 model units.

    Image matrices are those of `Camera.image_matrix`. The caller validates all arrays.
    """

    note: str
    """What runs the texture network, and why, if that differs from the request; else empty."""
    threads: int
    """Cores in use on the host."""

    def render(
        self,
        expression: Float32[Array, " E"],
        pose: Float32[Array, "15"],
        image_matrix: Float32[Array, "3 4"],
        stage_done: StageCallback,
    ) -> UInt8[Array, "H W 4"]:
        """Return the frame as RGBA in a new array; `stage_done` is called after each stage."""
        ...

    def render_batch(
        self,
        expressions: Float32[Array, "N E"],
        poses: Float32[Array, "N 15"],
        image_matrix: Float32[Array, "3 4"],
    ) -> UInt8[Array, "N H W 4"]:
        """Return the bytes of N calls of `render`."""
        ...

    def vertices(
        self, expression: Float32[Array, " E"], pose: Float32[Array, "15"]
    ) -> Float32[Array, "V 3"]:
        """Return the posed vertices; the next call may overwrite them."""
        ...

    def normals(
        self,
        expression: Float32[Array, " E"],
        pose: Float32[Array, "15"],
        image_matrix: Float32[Array, "3 4"],
    ) -> Float32[Array, "H W 3"]:
        """Return the unit normal in each pixel, in model space; zero in the background."""
        ...

    def close(self) -> None:
        """Release threads and memory."""
        ...


OpenRenderer = Callable[[RenderConfig], Renderer]
"""Opens a renderer."""


def frame_by_frame(
    renderer: Renderer,
    size: tuple[int, int],
    expressions: Float32[Array, "N E"],
    poses: Float32[Array, "N 15"],
    image_matrix: Float32[Array, "3 4"],
) -> UInt8[Array, "N H W 4"]:
    """Return the bytes of N calls of `render`, for renderers that draw one frame at a time.

    Args:
        size: height and width of the images.
    """
    images = np.zeros((len(expressions), *size, 4), dtype=np.uint8)
    for image, expression, pose in zip(images, expressions, poses, strict=True):
        image[:] = renderer.render(expression, pose, image_matrix, untimed)
    return images
