"""Player: draws an avatar folder into RGBA images, one for each expression and pose."""

from __future__ import annotations

import operator
import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Float32, UInt8
from imavatar_deploy.avatar_io import drift_note, open_avatar
from imavatar_deploy.camera import Camera, front_camera, with_square_pixels
from imavatar_deploy.checks import as_float32, ensure_shape
from imavatar_deploy.conventions import POSE_SIZE, UNITS_PER_METRE
from imavatar_deploy.errors import UsageError, unknown_name
from imavatar_deploy.rendering.renderer import (
    ANTIALIASING,
    EDGES,
    STAGES,
    Background,
    RenderConfig,
    background_rgba,
    untimed,
)
from imavatar_deploy.rendering.shading import AUTO

from .backends import open_renderer, resolve_shading

__all__ = ["LARGEST_SIDE", "STAGES", "Player"]

Size = int | tuple[int, int]
"""Pixels: one number for a square, or (width, height)."""

LARGEST_SIDE = 16384
"""Largest width and height, pixels."""


class Player:
    """Draws one avatar into images of one size. Use it in a `with` block.

        with Player("sample", size=512) as player:
            image = player.render(expression, pose)

    It owns threads and memory. Its buffers hold one frame, and its threads do not survive a fork:
    use one player for each thread and each process. A call while another thread draws, or in a
    forked process, raises `UsageError`.

    Args:
        source: an avatar folder, or the word `sample`.
        size: pixels, one number or (width, height).
        shading: a row of `shading.SHADINGS`, or `auto`: what suits the backend and the folder has;
            on a CPU the student, else per vertex.
        background: `#rrggbb`, a name in `renderer.COLOURS`, three numbers in 0..255, or None for
            transparent.
        threads: number of cores; None: all.
        backend: a row of `backends.BACKENDS`, which draws.
        engine_policy: a row of `trt_policy.POLICIES`, for an engine that cannot run here.
        antialias: a row of `renderer.ANTIALIASING`: `none`, `edges` or `4x`.

    Raises:
        InputError: the folder cannot be read, or its files do not fit together.
        UsageError: an argument is unknown or out of range.
        MissingDependencyError: a package or device is missing that the backend or the shading
            needs; the student does without onnxruntime.
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
        antialias: str = EDGES,
    ) -> None:
        self.width, self.height = _check_size(size)
        _check_types(source, shading, background, threads, backend, engine_policy, antialias)
        if antialias not in ANTIALIASING:
            raise unknown_name("anti-aliasing", antialias, ANTIALIASING)
        colour = background_rgba(background)
        folder = open_avatar(source)
        self.drift_note = drift_note(folder.manifest)
        """The quality limits that the avatar misses, and the reason for its export; may be
        empty."""
        self.shading = resolve_shading(shading, folder, backend)
        """The row of `shading.SHADINGS` that colours."""
        self.folder = folder
        """The avatar folder, opened."""
        self.avatar = folder.avatar
        self._closed = False
        self._in_use = threading.Lock()
        self._process = os.getpid()
        self._renderer = open_renderer(
            RenderConfig(folder, self.width, self.height, self.shading, colour, threads, antialias),
            backend,
            engine_policy,
        )
        self.threads = self._renderer.threads
        self.backend_note = self._renderer.note
        """What draws, and why, where that differs from the request; may be empty."""
        self.camera = with_square_pixels(self._front(), self.width, self.height)
        """The camera of `render` by default: the avatar from the front."""

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
        """End the threads and release a device's memory; the player can draw no more."""
        self._renderer.close()
        self._closed = True

    def warm_up(self) -> None:
        """Draw the neutral face once, so that later frames do not include one-time work.

        That is compilation, 10 to 20 seconds in a new installation, and the first use of memory and
        of the texture network. Call it before a tracker sends and before frames are timed;
        `imavatar-run`, `imavatar-bench` and `run_live` do so.
        """
        self.render(np.zeros(self.avatar.expression_size), np.zeros(POSE_SIZE))

    def render(
        self, expression: Any, pose: Any, camera: Camera | None = None
    ) -> UInt8[Array, "H W 4"]:
        """Draw an expression `[E]` and a pose `[15]`; return `[H, W, 4]` RGBA.

        Args:
            expression, pose: numbers in any form that numpy converts; rotations are axis-angle,
                radians.
            camera: the player's own when None.

        Raises:
            InputError: a wrong number of coefficients, or one that is not finite.
        """
        arrays = self._check_inputs(expression, pose)
        matrix = self._matrix(camera)
        with self._drawing():
            return self._renderer.render(*arrays, matrix, untimed)

    def render_timed(
        self, expression: Any, pose: Any, camera: Camera | None = None
    ) -> tuple[UInt8[Array, "H W 4"], dict[str, float]]:
        """`render`, and the seconds of each of `STAGES`. The host waits for a device after each."""
        arrays = self._check_inputs(expression, pose)
        matrix = self._matrix(camera)
        with self._drawing():
            times = [time.perf_counter()]
            image = self._renderer.render(
                *arrays, matrix, lambda: times.append(time.perf_counter())
            )
        return image, dict(zip(STAGES, np.diff(times).tolist(), strict=True))

    def render_batch(
        self, expressions: Any, poses: Any, camera: Camera | None = None
    ) -> UInt8[Array, "N H W 4"]:
        """Draw expressions `[N, E]` and poses `[N, 15]`; return `[N, H, W, 4]` RGBA.

        The images are the bytes of N calls of `render`. On a device the frames follow each other
        without waiting for the host.

        Raises:
            InputError: wrong numbers of coefficients or frames, or a value that is not finite.
        """
        self._must_be_open()
        codes = as_float32("expressions", expressions, ("N", self.avatar.expression_size))
        rotations = as_float32("poses", poses, ("N", POSE_SIZE))
        ensure_shape("poses", rotations, (len(codes), POSE_SIZE), "one for each expression")
        matrix = self._matrix(camera)
        with self._drawing():
            return self._renderer.render_batch(codes, rotations, matrix)

    def vertices(self, expression: Any, pose: Any) -> Float32[Array, "V 3"]:
        """Return the posed vertices `[V, 3]` in metres.

        Raises:
            InputError: a wrong number of coefficients, or one that is not finite.
        """
        arrays = self._check_inputs(expression, pose)
        with self._drawing():
            return self._renderer.vertices(*arrays) / np.float32(UNITS_PER_METRE)

    def normals(
        self, expression: Any, pose: Any, camera: Camera | None = None
    ) -> Float32[Array, "H W 3"]:
        """Return the unit normal of the surface in each pixel `[H, W, 3]`; zero in the background.

        Normals are in model space.

        Raises:
            InputError: a wrong number of coefficients, or one that is not finite.
        """
        arrays = self._check_inputs(expression, pose)
        matrix = self._matrix(camera)
        with self._drawing():
            return self._renderer.normals(*arrays, matrix)

    @contextmanager
    def _drawing(self) -> Iterator[None]:
        """Use the buffers and threads.

        Raises:
            UsageError: another thread uses them, or they belong to the process before a fork.
        """
        if os.getpid() != self._process:
            raise UsageError(
                "this player was opened before the process was forked, and its threads are not in "
                "the new process: open a player there"
            )
        if not self._in_use.acquire(blocking=False):
            raise UsageError(
                "this player is drawing in another thread: open one player for each thread"
            )
        try:
            yield
        finally:
            self._in_use.release()

    def _must_be_open(self) -> None:
        if self._closed:
            raise UsageError("this player is closed: draw inside its with block, or open another")

    def _check_inputs(
        self, expression: Any, pose: Any
    ) -> tuple[Float32[Array, " E"], Float32[Array, "15"]]:
        self._must_be_open()
        size = self.avatar.expression_size
        return as_float32("expression", expression, (size,)), as_float32("pose", pose, (POSE_SIZE,))

    def _matrix(self, camera: Camera | None) -> Float32[Array, "3 4"]:
        if not isinstance(camera, Camera | None):
            raise UsageError(f"camera must be a Camera or None, got {type(camera).__name__}")
        return (camera or self.camera).image_matrix(self.width, self.height)

    def _front(self) -> Camera:
        neutral = np.zeros(self.avatar.expression_size, dtype=np.float32)
        still = np.zeros(POSE_SIZE, dtype=np.float32)
        return front_camera(self.avatar, self._renderer.vertices(neutral, still))


def _check_types(
    source: object,
    shading: object,
    background: object,
    threads: object,
    backend: object,
    engine_policy: object,
    antialias: object,
) -> None:
    """Check the types of a player's arguments; values are checked where they are used."""
    if not isinstance(source, str | Path):
        raise UsageError(f"an avatar must be a folder's path, got {type(source).__name__}")
    names = {
        "shading": shading,
        "backend": backend,
        "engine_policy": engine_policy,
        "antialias": antialias,
    }
    for argument, name in names.items():
        if not isinstance(name, str):
            raise UsageError(f"{argument} must be a name, got {name!r}")
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, Integral)):
        raise UsageError(f"threads must be a number of cores or None, got {threads!r}")
    if background is not None and not isinstance(background, Iterable):
        raise UsageError(
            "a background must be a colour such as '#rrggbb', three numbers in 0..255, or None, "
            f"got {background!r}"
        )


def _check_size(size: Size) -> tuple[int, int]:
    try:
        if isinstance(size, bool):
            raise TypeError("a truth value is no number of pixels")
        if isinstance(size, int | np.integer):
            width = height = int(size)
        else:
            width, height = map(operator.index, size)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"size must be a number of pixels or (width, height), got {size!r}"
        ) from error
    if not (1 <= width <= LARGEST_SIDE and 1 <= height <= LARGEST_SIDE):
        raise UsageError(
            f"size must be between 1 and {LARGEST_SIDE} pixels a side, got {width} x {height}"
        )
    return width, height
