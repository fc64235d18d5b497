"""Interface and configuration of a renderer, which draws one avatar into images of one size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from imavatar_deploy.arrays import Array, Float32, UInt8
from imavatar_deploy.avatar_io import AvatarFolder

from .compositing import TRANSPARENT

StageCallback = Callable[[], object]
"""Called after each of `STAGES`, to time it."""

STAGES = ("animate", "normals", "raster", "shade", "composite")
"""The stages of a frame, in the order in which they run."""


def untimed() -> None:
    """Stage callback of frames that are not timed; a device is not synchronised between stages."""


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
