"""Player: an avatar folder -> RGBA images, one for each expression and pose."""

from __future__ import annotations

import operator
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Float32, UInt8
from imavatar_deploy.avatar_io import drift_note, open_avatar
from imavatar_deploy.camera import Camera, front_camera, with_square_pixels
from imavatar_deploy.checks import as_float32, ensure_shape
from imavatar_deploy.conventions import POSE_SIZE, UNITS_PER_METRE
from imavatar_deploy.errors import UsageError
from imavatar_deploy.rendering.renderer import (
    STAGES,
    Background,
    RenderConfig,
    background_rgba,
    untimed,
)
from imavatar_deploy.rendering.shading import AUTO

from .backends import find_backend, resolve_shading

__all__ = ["LARGEST_SIDE", "STAGES", "Player"]

Size = int | tuple[int, int]

LARGEST_SIDE = 16384


class Player:
    """Plays one avatar into images of one size. Use it in a `with` block: it owns threads and memory.

    Its buffers serve one frame at a time: give every thread of yours a player of its own.

        with Player("sample", size=512) as player:
            image = player.render(expression, pose)

    Args:
        source: an avatar folder, or the word `sample`.
        size: pixels, one number or (width, height).
        shading: a row of `shade.SHADINGS`, or `auto`: the student where the folder has one, else per vertex.
        background: `#rrggbb`, three numbers in 0..255, or None for transparent.
        threads: how many cores to use; all of them when left out.
        backend: a row of `backends.BACKENDS`: what draws.
        engine_policy: a row of `engines.POLICIES`: what is done when the backend's engine cannot run here.

    Raises:
        InputError: the folder cannot be read or does not fit together.
        UsageError: an argument that cannot be obeyed.
        MissingDependencyError: onnxruntime (the student does without it), or what the backend needs, is not there.
    """

    def __init__(
        self,
        source: str | Path,
        *,
        size: Size = 512,
        shading: str = AUTO,
        background: Background = None,
        threads: int | None = None,
        backend: str = "cpu",
        engine_policy: str = "rebuild",
    ) -> None:
        self.width, self.height = _checked_size(size)
        colour = background_rgba(background)
        folder = open_avatar(source)
        self.drift_note = drift_note(folder.manifest)
        """What the avatar misses and why it was written all the same; empty when it misses nothing."""
        self.shading = resolve_shading(shading, folder, backend)
        """The row of `shade.SHADINGS` that colours."""
        self.avatar = folder.avatar
        self._closed = False
        self._renderer = find_backend(backend).open(
            RenderConfig(folder, self.width, self.height, self.shading, colour, threads),
            engine_policy,
        )
        self.threads = self._renderer.threads
        self.backend_note = self._renderer.note
        """What draws and why, where that is worth telling."""
        self.camera = with_square_pixels(self._front(), self.width, self.height)
        """What `render` looks through when it is given no camera."""

    def __enter__(self) -> Player:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the threads and give a device's memory back; the player draws no more."""
        self._renderer.close()
        self._closed = True

    def warm_up(self) -> None:
        """Draw the neutral face once, so that no later frame includes what the first one does.

        That is compilation where nothing has been compiled yet, 10 to 20 seconds, and the first
        use of memory and of the texture network elsewhere. Call it before a tracker is listened
        to and before frames are timed; `imavatar-run`, `imavatar-bench` and `run_live` do so.
        """
        still = np.zeros(self.avatar.expression_size), np.zeros(POSE_SIZE)
        self.render(*still)

    def render(
        self, expression: Any, pose: Any, camera: Camera | None = None
    ) -> UInt8[Array, "H W 4"]:
        """[H, W, 4] RGBA image of an expression `[E]` and a pose `[15]` (axis-angle, radians).

        Raises:
            InputError: a wrong number of coefficients, or one that is not finite.
        """
        return self._renderer.render(
            *self._checked(expression, pose), self._matrix(camera), untimed
        )

    def render_timed(
        self, expression: Any, pose: Any, camera: Camera | None = None
    ) -> tuple[UInt8[Array, "H W 4"], dict[str, float]]:
        """`render`, and the seconds that each of `STAGES` took; a device is waited for after each."""
        checked, matrix = self._checked(expression, pose), self._matrix(camera)
        laps = [time.perf_counter()]
        image = self._renderer.render(*checked, matrix, lambda: laps.append(time.perf_counter()))
        return image, dict(zip(STAGES, np.diff(laps).tolist(), strict=True))

    def render_batch(
        self, expressions: Any, poses: Any, camera: Camera | None = None
    ) -> UInt8[Array, "N H W 4"]:
        """[N, H, W, 4] RGBA images of expressions `[N, E]` and poses `[N, 15]`: the bytes of N calls of `render`.

        On a device the frames follow each other without waiting for the host.

        Raises:
            InputError: wrong numbers of coefficients or frames, or a value that is not finite.
        """
        self._must_be_open()
        checked = as_float32("expressions", expressions, ("N", self.avatar.expression_size))
        turned = as_float32("poses", poses, ("N", POSE_SIZE))
        ensure_shape("poses", turned, (len(checked), POSE_SIZE), "one for each expression")
        return self._renderer.render_batch(checked, turned, self._matrix(camera))

    def vertices(self, expression: Any, pose: Any) -> Float32[Array, "V 3"]:
        """[V, 3] posed vertices in metres.

        Raises:
            InputError: a wrong number of coefficients, or one that is not finite.
        """
        return self._renderer.vertices(*self._checked(expression, pose)) / np.float32(
            UNITS_PER_METRE
        )

    def normals(
        self, expression: Any, pose: Any, camera: Camera | None = None
    ) -> Float32[Array, "H W 3"]:
        """[H, W, 3] unit normals, in model space, of what each pixel sees; zero where that is nothing.

        Raises:
            InputError: a wrong number of coefficients, or one that is not finite.
        """
        return self._renderer.normals(*self._checked(expression, pose), self._matrix(camera))

    def _must_be_open(self) -> None:
        if self._closed:
            raise UsageError("this player is closed; draw inside its with block, or open another")

    def _checked(
        self, expression: Any, pose: Any
    ) -> tuple[Float32[Array, " E"], Float32[Array, "15"]]:
        self._must_be_open()
        size = self.avatar.expression_size
        return as_float32("expression", expression, (size,)), as_float32("pose", pose, (POSE_SIZE,))

    def _matrix(self, camera: Camera | None) -> Float32[Array, "3 4"]:
        return (camera or self.camera).image_matrix(self.width, self.height)

    def _front(self) -> Camera:
        neutral = np.zeros(self.avatar.expression_size, dtype=np.float32)
        still = np.zeros(POSE_SIZE, dtype=np.float32)
        return front_camera(self.avatar, self._renderer.vertices(neutral, still))


def _checked_size(size: Size) -> tuple[int, int]:
    try:
        width, height = (size, size) if isinstance(size, int) else map(operator.index, size)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"size must be a number of pixels or (width, height), got {size!r}"
        ) from error
    if not (1 <= width <= LARGEST_SIDE and 1 <= height <= LARGEST_SIDE):
        raise UsageError(
            f"size must be between 1 and {LARGEST_SIDE} pixels a side, got {width} x {height}"
        )
    return width, height
