"""Renderer: what draws the frames of one avatar at one size; a backend opens one, a `Player` owns it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.avatar_io import AvatarFolder

Float = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Lap = Callable[[], object]

STAGES = ("animate", "normals", "raster", "shade", "composite")
"""What a frame goes through, in this order."""


def no_lap() -> None:
    """For frames that nobody times: a renderer that is given this never waits for a device between stages."""


@dataclass(frozen=True)
class Order:
    """What a renderer is to draw."""

    folder: AvatarFolder
    width: int  # pixels
    height: int
    shading: str
    """A row of `shade.SHADINGS`."""
    background: tuple[int, ...]
    """RGBA bytes of the pixels that nothing covers."""
    threads: int | None = None
    """Cores to use on the host; all of them when None."""
    engine_policy: str = "rebuild"
    """A row of `engines.POLICIES`."""


class Renderer(Protocol):
    """Draws one avatar into images of one size, in float32 model units. Its arguments were checked by the player.

    Expressions are `[E]`, poses `[15]`, image matrices `[3, 4]` (see `Camera.image_matrix`), all float32.
    """

    note: str
    """What draws and why, where that is worth telling."""
    threads: int
    """Cores in use on the host."""

    def render(self, expression: Float, pose: Float, image_matrix: Float, lap: Lap) -> Bytes:
        """[H, W, 4] RGBA, the caller's own; calls `lap` after each of `STAGES`."""
        ...

    def render_batch(self, expressions: Float, poses: Float, image_matrix: Float) -> Bytes:
        """[N, H, W, 4] RGBA of expressions `[N, E]` and poses `[N, 15]`, as `render` gives one by one."""
        ...

    def vertices(self, expression: Float, pose: Float) -> Float:
        """[V, 3] posed vertices; the next call may overwrite them."""
        ...

    def normals(self, expression: Float, pose: Float, image_matrix: Float) -> Float:
        """[H, W, 3] unit normals of what each pixel sees, in model space; zero where that is nothing."""
        ...

    def close(self) -> None:
        """Give back threads and memory."""
        ...
