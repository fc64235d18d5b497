"""The interface of a renderer, which draws one avatar into images of one size, its configuration and background."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from imavatar_deploy.arrays import Array, Float32, UInt8
from imavatar_deploy.avatar_io import AvatarFolder
from imavatar_deploy.errors import UsageError

Background = str | Sequence[int] | None
"""`#rrggbb`, a name in `COLOURS`, three numbers in 0..255, or None for transparent."""

COLOURS = {
    "white": "#ffffff",
    "black": "#000000",
    "grey": "#808080",
    "green": "#00b140",
    "blue": "#0047bb",
}
"""Names for backgrounds; green and blue are the usual ones for keying."""

TRANSPARENT = (0, 0, 0, 0)

StageCallback = Callable[[], object]
"""Called after each of `STAGES`, to take its time."""

STAGES = ("animate", "normals", "raster", "shade", "composite")
"""The stages of a frame, in the order in which they run."""


def untimed() -> None:
    """The callback of frames whose stages are not timed: a device is then never waited for between stages."""


def background_rgba(background: Background) -> tuple[int, ...]:
    """The four bytes of a background.

    Raises:
        UsageError: not a colour.
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
            f"a background is '#rrggbb', three numbers in 0..255, or one of {', '.join(COLOURS)}; got {background!r}"
        )
    return (*colour, 255)


@dataclass(frozen=True)
class RenderConfig:
    """What a renderer draws, and how."""

    folder: AvatarFolder
    width: int  # pixels
    height: int
    shading: str
    """A row of `shading.SHADINGS`."""
    background: tuple[int, ...] = TRANSPARENT
    """RGBA bytes of the pixels that nothing covers."""
    threads: int | None = None
    """Cores to use on the host; all of them when None."""


class Renderer(Protocol):
    """Draws one avatar into images of one size, in float32 model units.

    Expressions are `[E]`, poses `[15]`, image matrices `[3, 4]` (see `Camera.image_matrix`), all
    float32; the caller has checked them.
    """

    note: str
    """What runs the texture network, and why, where that differs from the request; else empty."""
    threads: int
    """Cores in use on the host."""

    def render(
        self,
        expression: Float32[Array, " E"],
        pose: Float32[Array, "15"],
        image_matrix: Float32[Array, "3 4"],
        stage_done: StageCallback,
    ) -> UInt8[Array, "H W 4"]:
        """Return the frame as `[H, W, 4]` RGBA in an array of its own; `stage_done` follows each stage."""
        ...

    def render_batch(
        self,
        expressions: Float32[Array, "N E"],
        poses: Float32[Array, "N 15"],
        image_matrix: Float32[Array, "3 4"],
    ) -> UInt8[Array, "N H W 4"]:
        """Return `[N, H, W, 4]`, the bytes of N calls of `render`, for `[N, E]` and `[N, 15]`."""
        ...

    def vertices(
        self, expression: Float32[Array, " E"], pose: Float32[Array, "15"]
    ) -> Float32[Array, "V 3"]:
        """Return the posed vertices `[V, 3]`; the next call may overwrite them."""
        ...

    def normals(
        self,
        expression: Float32[Array, " E"],
        pose: Float32[Array, "15"],
        image_matrix: Float32[Array, "3 4"],
    ) -> Float32[Array, "H W 3"]:
        """Return the unit normal of the surface in each pixel `[H, W, 3]`, model space; zero in the background."""
        ...

    def close(self) -> None:
        """Release threads and memory."""
        ...
