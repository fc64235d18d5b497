"""WarpRenderer: whole frames on a device, nothing copied to the host but the finished image."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Float32, UInt8
from imavatar_deploy.errors import MissingDependencyError
from imavatar_deploy.kinematics import condition_of
from imavatar_deploy.rendering.renderer import RenderConfig, StageCallback, untimed
from imavatar_deploy.trt.driver import probe_driver

from .frame_slots import FrameInput, Slot
from .library import MODULE, quietly, start, wp
from .pixels import composite, interpolate_normals
from .scene import GpuScene
from .shading import DEVICE_SHADINGS


def cuda_device() -> Any:
    """The first GPU.

    Raises:
        MissingDependencyError: there is no driver or device, or this Warp cannot use them.
    """
    found = probe_driver().devices[0]
    start()
    if not wp.is_cuda_available():
        raise MissingDependencyError(
            f"{found.name} is there, but warp-lang {wp.config.version} does not start on it; update NVIDIA's driver, "
            "or play on the CPU"
        )
    return wp.get_device("cuda:0")


def cpu_device() -> Any:
    """Warp's CPU device: the same kernels, one thread."""
    return start().get_device("cpu")


DEVICES = {"cuda": cuda_device, "cpu": cpu_device}
"""Where Warp may draw."""


_ONE_AT_A_TIME = threading.RLock()
"""Warp has one current stream for each device. Its CPU device has one capture, and one arena for tiles: two threads in
it at once end the process."""


class WarpRenderer:
    """See `Renderer`. All memory is taken at the start; a frame is one graph, see `Slot`."""

    def __init__(self, config: RenderConfig, device: Any) -> None:
        folder = config.folder
        self.note = f"Warp {wp.config.version} on {device.name}"
        self.threads = 1
        self._size = (config.height, config.width)
        self._background = wp.vec4i(*config.background)
        self._device = device
        self._stream, self._copies = (
            wp.Stream(device) if device.is_cuda else None for _ in range(2)
        )
        with self._current(), quietly(wp):
            wp.load_module(MODULE, device)
            self._scene = GpuScene(folder.avatar, config.width, config.height, device)
            self._shading = DEVICE_SHADINGS[config.shading](folder, self._scene.seen)
            self._layout = FrameInput(folder.avatar, self._shading.constant_size)
            self._inputs = wp.zeros(self._layout.size, dtype=wp.float32, device=device)
            self._coefficients, self._bones, self._matrix, self._constant = (
                self._inputs[part] for part in self._layout.parts
            )
            pixels = config.width * config.height
            streams = (self._stream, self._copies)
            self._slots = [Slot(self._draw, self._inputs, pixels, *streams) for _ in range(2)]

    def render(
        self,
        expression: Float32[Array, " E"],
        pose: Float32[Array, "15"],
        image_matrix: Float32[Array, "3 4"],
        stage_done: StageCallback,
    ) -> UInt8[Array, "H W 4"]:
        """See `Renderer`."""
        slot = self._slots[0]
        self._tell(slot, expression, pose, image_matrix)
        if stage_done is untimed:
            self._launch(slot)
            slot.wait()
        else:
            self._draw_slowly(slot, stage_done)
        return self._taken(slot)

    def render_batch(
        self,
        expressions: Float32[Array, "N E"],
        poses: Float32[Array, "N 15"],
        image_matrix: Float32[Array, "3 4"],
    ) -> UInt8[Array, "N H W 4"]:
        """See `Renderer`."""
        images = np.zeros((len(expressions), *self._size, 4), dtype=np.uint8)
        for frame, (expression, pose) in enumerate(zip(expressions, poses, strict=True)):
            slot = self._slots[frame % 2]
            if frame >= 2:
                self._land(slot, images[frame - 2])
            self._tell(slot, expression, pose, image_matrix)
            self._launch(slot)
        for frame in range(max(len(images) - 2, 0), len(images)):
            self._land(self._slots[frame % 2], images[frame])
        return images

    def vertices(
        self, expression: Float32[Array, " E"], pose: Float32[Array, "15"]
    ) -> Float32[Array, "V 3"]:
        """See `Renderer`."""
        self._tell(self._slots[0], expression, pose, np.zeros((3, 4), dtype=np.float32))
        with self._current():
            self._slots[0].upload()
            self._animate()
            return np.asarray(self._scene.vertices.numpy())

    def normals(
        self,
        expression: Float32[Array, " E"],
        pose: Float32[Array, "15"],
        image_matrix: Float32[Array, "3 4"],
    ) -> Float32[Array, "H W 3"]:
        """See `Renderer`."""
        self._tell(self._slots[0], expression, pose, image_matrix)
        seen = self._scene.seen
        with self._current():
            self._slots[0].upload()
            self._animate()
            self._scene.normals(self._bones)
            self._scene.raster()
            given = [seen.triangle, seen.barycentrics, seen.faces, seen.normals]
            wp.launch(
                interpolate_normals, len(seen.triangle), given, [seen.colours], device=self._device
            )
            return np.array(seen.colours.numpy()).reshape(*self._size, 3)

    def close(self) -> None:
        """See `Renderer`."""
        wp.synchronize_device(self._device)
        for held in (
            "_slots",
            "_shading",
            "_scene",
            "_inputs",
            "_coefficients",
            "_bones",
            "_matrix",
            "_constant",
        ):
            self.__dict__.pop(held, None)

    @contextmanager
    def _current(self) -> Iterator[None]:
        """Launches go to this renderer's own stream."""
        with _ONE_AT_A_TIME, wp.ScopedStream(self._stream):
            yield

    def _launch(self, slot: Slot) -> None:
        """A graph knows its stream: on a GPU no player waits for another."""
        with nullcontext() if self._stream is not None else _ONE_AT_A_TIME:
            slot.launch()

    def _tell(
        self,
        slot: Slot,
        expression: Float32[Array, " E"],
        pose: Float32[Array, "15"],
        image_matrix: Float32[Array, "3 4"],
    ) -> None:
        constant = self._shading.constant(condition_of(expression, pose))
        self._layout.write(slot.given, expression, pose, image_matrix, constant)

    def _animate(self) -> None:
        self._scene.animate(self._coefficients, self._bones, self._matrix)

    def _composite(self, image: Any) -> None:
        seen = self._scene.seen
        given = [seen.triangle, seen.colours, self._background]
        wp.launch(composite, len(seen.triangle), inputs=given, outputs=[image], device=self._device)

    def _stages(self, image: Any) -> tuple[Callable[[], None], ...]:
        """What launches each of `STAGES`."""
        return (
            self._animate,
            lambda: self._scene.normals(self._bones),
            self._scene.raster,
            lambda: self._shading.launch(self._constant),
            lambda: self._composite(image),
        )

    def _draw(self, image: Any) -> None:
        for stage in self._stages(image):
            stage()

    def _draw_slowly(self, slot: Slot, stage_done: StageCallback) -> None:
        """The same, waiting for the device after each; the copies belong to the first and the last."""
        with self._current():
            slot.upload()
            *_, last = stages = self._stages(slot.image)
            for stage in stages:
                stage()
                if stage is last:
                    slot.fetch()
                wp.synchronize_device(self._device)
                stage_done()

    def _taken(self, slot: Slot) -> UInt8[Array, "H W 4"]:
        return np.array(slot.landed).reshape(*self._size, 4)

    def _land(self, slot: Slot, image: UInt8[Array, "H W 4"]) -> None:
        slot.wait()
        image[:] = slot.landed.reshape(image.shape)
