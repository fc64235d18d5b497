"""Player: an avatar folder -> RGBA images, one for each expression and pose."""

from __future__ import annotations

import operator
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.animation.animate import Animator
from imavatar_deploy.animation.normals import SurfaceNormals
from imavatar_deploy.animation.shade import AUTO, SHADINGS, normal_image, resolve_shading
from imavatar_deploy.animation.texture_network import condition_of
from imavatar_deploy.avatar_io import open_avatar
from imavatar_deploy.camera import Camera
from imavatar_deploy.checks import as_float32
from imavatar_deploy.conventions import POSE_SIZE, UNITS_PER_METRE
from imavatar_deploy.drawing.rasterise import Fragments, Rasteriser
from imavatar_deploy.drawing.workers import Workers
from imavatar_deploy.errors import UsageError
from imavatar_deploy.framing import front_camera, with_square_pixels
from imavatar_deploy.proof.drift import drift_note

from .backends import open_backend
from .composite import Background, background_rgba, composite
from .engines import Chosen

Float = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Size = int | tuple[int, int]
Lap = Callable[[], object]

STAGES = ("animate", "normals", "raster", "shade", "composite")
"""What a frame goes through, in this order."""

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
        backend: a row of `backends.BACKENDS`: what computes colours.
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
        self._background = background_rgba(background)
        folder = open_avatar(source)
        self.drift_note = drift_note(folder.manifest)
        """What the avatar misses and why it was written all the same; empty when it misses nothing."""
        self.shading = resolve_shading(shading, folder, backend)
        """The row of `shade.SHADINGS` that colours."""
        self.avatar = avatar = folder.avatar
        self._closed = False
        self._workers = workers = Workers(threads)
        self.threads = workers.threads
        self._backend = Chosen(None, "")
        if SHADINGS[self.shading].asks_network:
            self._backend = open_backend(backend, folder, self.threads, engine_policy)
        self.backend_note = self._backend.note
        """What computes colours and why, where that is worth telling."""
        self._shading = SHADINGS[self.shading](folder, self._backend.session, (self.height, self.width), workers)
        self._animator = Animator(avatar, workers)
        self._normals = SurfaceNormals(avatar, workers)
        self._rasteriser = Rasteriser(avatar.faces, self.width, self.height, workers)
        self.camera = with_square_pixels(self._front(), self.width, self.height)
        """What `render` looks through when it is given no camera."""

    def __enter__(self) -> Player:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the threads and give a device's memory back; the player draws no more."""
        self._workers.close()
        self._backend.close()
        self._closed = True

    def render(self, expression: Any, pose: Any, camera: Camera | None = None) -> Bytes:
        """[H, W, 4] RGBA image of an expression `[E]` and a pose `[15]` (axis-angle, radians).

        Raises:
            InputError: a wrong number of coefficients, or one that is not finite.
        """
        return self._render_impl(*self._checked(expression, pose), camera or self.camera, _no_lap)

    def render_timed(self, expression: Any, pose: Any, camera: Camera | None = None) -> tuple[Bytes, dict[str, float]]:
        """`render`, and the seconds that each of `STAGES` took."""
        laps = [time.perf_counter()]
        image = self._render_impl(
            *self._checked(expression, pose), camera or self.camera, lambda: laps.append(time.perf_counter())
        )
        return image, dict(zip(STAGES, np.diff(laps).tolist(), strict=True))

    def vertices(self, expression: Any, pose: Any) -> Float:
        """[V, 3] posed vertices in metres.

        Raises:
            InputError: a wrong number of coefficients, or one that is not finite.
        """
        return self._animator(*self._checked(expression, pose)).vertices / np.float32(UNITS_PER_METRE)

    def normals(self, expression: Any, pose: Any, camera: Camera | None = None) -> Float:
        """[H, W, 3] unit normals, in model space, of what each pixel sees; zero where that is nothing.

        Raises:
            InputError: a wrong number of coefficients, or one that is not finite.
        """
        fragments, normals = self._drawn(*self._checked(expression, pose), camera or self.camera, _no_lap)
        return normal_image(fragments, self.avatar.faces, normals, self._workers)

    def _checked(self, expression: Any, pose: Any) -> tuple[Float, Float]:
        if self._closed:
            raise UsageError("this player is closed; draw inside its with block, or open another")
        size = self.avatar.expression_size
        return as_float32("expression", expression, (size,)), as_float32("pose", pose, (POSE_SIZE,))

    def _drawn(self, expression: Float, pose: Float, camera: Camera, lap: Lap) -> tuple[Fragments, Float]:
        """What each pixel sees, and the vertices' normals `[V, 3]`."""
        posed = self._animator(expression, pose)
        lap()
        normals = self._normals(posed)
        lap()
        fragments = self._rasteriser.draw(posed.vertices, camera.image_matrix(self.width, self.height))
        lap()
        return fragments, normals

    def _render_impl(self, expression: Float, pose: Float, camera: Camera, lap: Lap) -> Bytes:
        fragments, normals = self._drawn(expression, pose, camera, lap)
        colours = self._shading(fragments, normals, condition_of(expression, pose))
        lap()
        image = composite(colours, fragments.triangle, self._background, self._workers)
        lap()
        return image

    def _front(self) -> Camera:
        neutral = np.zeros(self.avatar.expression_size, dtype=np.float32)
        return front_camera(self.avatar, self._animator(neutral, np.zeros(POSE_SIZE, dtype=np.float32)).vertices)


def _no_lap() -> None:
    """`render` does not look at the clock."""


def _checked_size(size: Size) -> tuple[int, int]:
    try:
        width, height = (size, size) if isinstance(size, int) else map(operator.index, size)
    except (TypeError, ValueError) as error:
        raise UsageError(f"size must be a number of pixels or (width, height), got {size!r}") from error
    if not (1 <= width <= LARGEST_SIDE and 1 <= height <= LARGEST_SIDE):
        raise UsageError(f"size must be between 1 and {LARGEST_SIDE} pixels a side, got {width} x {height}")
    return width, height
