"""WarpRenderer: draws whole frames on a device and copies only the finished image to the host."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Float32, UInt8
from imavatar_deploy.errors import MissingDependencyError
from imavatar_deploy.kinematics import condition_of
from imavatar_deploy.rendering.renderer import EDGES, RenderConfig, StageCallback, untimed
from imavatar_deploy.trt.driver import probe_driver

from .frame_slots import FrameInput, Slot
from .library import MODULE, quietly, start, wp
from .outlines import DeviceOutlines
from .pixels import composite, interpolate_normals
from .scene import GpuScene
from .shading import DEVICE_SHADINGS


def cuda_device() -> Any:
    """Return the first GPU.

    Raises:
        MissingDependencyError: there is no driver or device, or this Warp cannot use them.
    """
    device = probe_driver().devices[0]
    start()
    if not wp.is_cuda_available():
        raise MissingDependencyError(
            f"{device.name} is there, but warp-lang {wp.config.version} does not start on it; "
            "update NVIDIA's driver, or play on the CPU"
        )
    return wp.get_device("cuda:0")


def cpu_device() -> Any:
    """Return Warp's CPU device, which runs the same kernels in one thread."""
    return start().get_device("cpu")


DEVICES = {"cuda": cuda_device, "cpu": cpu_device}
"""Devices on which Warp may draw."""

_ONE_AT_A_TIME = threading.RLock()
"""Held while the current stream is in use, of which Warp has one for each device. Its CPU device
has one capture, and one arena for tiles: two threads in it at once end the process."""


class WarpRenderer:
    """A `Renderer` whose stages are kernels of Warp.

    All memory is allocated at the start. A frame is one graph, see `Slot`.
    """

    def __init__(self, config: RenderConfig, device: Any) -> None:
        folder = config.folder
        self.note = f"Warp {wp.config.version} on {device.name}"
        self.threads = 1
        self._size = (config.height, config.width)
        self._background = wp.vec4i(*config.background)
        self._device = device
        self._stream = wp.Stream(device) if device.is_cuda else None
        self._copies = wp.Stream(device) if device.is_cuda else None
        with self._current(), quietly(wp):
            wp.load_module(MODULE, device)
            self._scene = GpuScene(folder.avatar, config.width, config.height, device)
            self._outlines = (
                DeviceOutlines(folder.avatar.faces, self._scene, config.width)
                if config.antialias == EDGES
                else None
            )
            self._shading = DEVICE_SHADINGS[config.shading](folder, self._scene.buffers)
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
        """Return the frame as `[H, W, 4]` RGBA.

        With a `stage_done` other than `untimed`, the host waits for the device after each stage.
        """
        slot = self._slots[0]
        self._write_input(slot, expression, pose, image_matrix)
        if stage_done is untimed:
            self._launch(slot)
            slot.wait()
        else:
            self._draw_timed(slot, stage_done)
        return np.array(slot.host_image).reshape(*self._size, 4)

    def render_batch(
        self,
        expressions: Float32[Array, "N E"],
        poses: Float32[Array, "N 15"],
        image_matrix: Float32[Array, "3 4"],
    ) -> UInt8[Array, "N H W 4"]:
        """Return `[N, H, W, 4]`, the bytes of N calls of `render`.

        Frames alternate between two slots: while the device draws one, the host prepares the next.
        """
        images = np.zeros((len(expressions), *self._size, 4), dtype=np.uint8)
        for frame, (expression, pose) in enumerate(zip(expressions, poses, strict=True)):
            slot = self._slots[frame % 2]
            if frame >= 2:
                self._await_image(slot, images[frame - 2])
            self._write_input(slot, expression, pose, image_matrix)
            self._launch(slot)
        for frame in range(max(len(images) - 2, 0), len(images)):
            self._await_image(self._slots[frame % 2], images[frame])
        return images

    def vertices(
        self, expression: Float32[Array, " E"], pose: Float32[Array, "15"]
    ) -> Float32[Array, "V 3"]:
        """Return the posed vertices `[V, 3]`."""
        self._write_input(self._slots[0], expression, pose, np.zeros((3, 4), dtype=np.float32))
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
        """Return the unit normal in each pixel `[H, W, 3]`; zero in the background."""
        self._write_input(self._slots[0], expression, pose, image_matrix)
        buffers = self._scene.buffers
        with self._current():
            self._slots[0].upload()
            self._animate()
            self._scene.normals(self._bones)
            self._scene.raster()
            wp.launch(
                interpolate_normals,
                len(buffers.triangle),
                [buffers.triangle, buffers.barycentrics, buffers.faces, buffers.normals],
                [buffers.colours],
                device=self._device,
            )
            return np.array(buffers.colours.numpy()).reshape(*self._size, 3)

    def close(self) -> None:
        """Release the memory of the device."""
        wp.synchronize_device(self._device)
        for name in (
            "_slots",
            "_shading",
            "_outlines",
            "_scene",
            "_inputs",
            "_coefficients",
            "_bones",
            "_matrix",
            "_constant",
        ):
            self.__dict__.pop(name, None)

    @contextmanager
    def _current(self) -> Iterator[None]:
        """Make this renderer's stream the current one, to which launches go."""
        with _ONE_AT_A_TIME, wp.ScopedStream(self._stream):
            yield

    def _launch(self, slot: Slot) -> None:
        """Launch a slot's graph, which has its own stream: on a GPU no player waits for another."""
        with nullcontext() if self._stream is not None else _ONE_AT_A_TIME:
            slot.launch()

    def _write_input(
        self,
        slot: Slot,
        expression: Float32[Array, " E"],
        pose: Float32[Array, "15"],
        image_matrix: Float32[Array, "3 4"],
    ) -> None:
        constant = self._shading.constant(condition_of(expression, pose))
        self._layout.write(slot.host_input, expression, pose, image_matrix, constant)

    def _animate(self) -> None:
        self._scene.animate(self._coefficients, self._bones, self._matrix)

    def _composite(self, image: Any) -> None:
        buffers = self._scene.buffers
        wp.launch(
            composite,
            len(buffers.triangle),
            inputs=[buffers.triangle, buffers.colours, self._background],
            outputs=[image],
            device=self._device,
        )
        if self._outlines is not None:
            self._outlines.blend(self._matrix, self._background, image)

    def _stages(self, image: Any) -> tuple[Callable[[], None], ...]:
        """Functions that launch the kernels of each of `STAGES`."""
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

    def _draw_timed(self, slot: Slot, stage_done: StageCallback) -> None:
        """Draw, and wait for the device after each stage; the first and the last include copies."""
        with self._current():
            slot.upload()
            *_, last = stages = self._stages(slot.image)
            for stage in stages:
                stage()
                if stage is last:
                    slot.fetch()
                wp.synchronize_device(self._device)
                stage_done()

    def _await_image(self, slot: Slot, image: UInt8[Array, "H W 4"]) -> None:
        """Wait for a slot's frame and copy it to `image`."""
        slot.wait()
        image[:] = slot.host_image.reshape(image.shape)
