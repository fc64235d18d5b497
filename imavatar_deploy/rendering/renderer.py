"""The interface of a renderer, which draws one avatar into images of one size, and its configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from imavatar_deploy.arrays import Array, Float32, UInt8
from imavatar_deploy.avatar_io import AvatarFolder

from .compositing import TRANSPARENT

StageCallback = Callable[[], object]
"""Called after each of `STAGES`, to take its time."""

STAGES = ("animate", "normals", "raster", "shade", "composite")
"""The stages of a frame, in the order in which they run."""


def untimed() -> None:
    """The callback of frames whose stages are not timed: a device is then never waited for between stages."""


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
