"""Shadings on the device: the colour of each pixel, by the student or the full texture network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.avatar_io import AvatarFolder
from imavatar_deploy.student import WIDTHS, read_student

from .arrays import Floats, Floats2, Ints, Ints2
from .library import kernel, wp
from .pixels import between, interpolate, normal_at
from .points import (
    POINT_LANES,
    RUN_ENTRIES,
    list_marked,
    load_pixels,
    load_vertices,
    mark_vertices,
    scatter_colours,
)
from .texture_network import WarpTextureNetwork
from .texture_weights import read_texture

# Student kernel: features and normal interpolated, two small layers and a colour, a thread a pixel

Units = wp.types.vector(length=max(WIDTHS), dtype=wp.float32)
"""Room for the widest student: 0.5 KB a thread, which stays in the first-level cache."""


@kernel
def shade_student(
    triangle: Ints,
    barycentrics: Floats2,
    faces: Ints2,
    features: Floats2,
    normals: Floats2,
    constant: Floats,
    normal_weight: Floats2,
    hidden_weight: Floats2,
    hidden_bias: Floats,
    colour_weight: Floats2,
    colour_bias: Floats,
    colours: Floats2,
) -> None:
    """Colour one pixel.

    Weights are `[inputs, outputs]`; `constant` `[H]` is the term of the frame's condition.
    """
    pixel = wp.tid()
    face = triangle[pixel]
    if face < 0:
        return
    width = features.shape[1]
    n = normal_at(normals, faces, face, barycentrics, pixel)
    first = Units()
    for unit in range(width):
        value = between(features, faces, face, barycentrics, pixel, unit) + constant[unit]
        value += (
            normal_weight[0, unit] * n[0]
            + normal_weight[1, unit] * n[1]
            + normal_weight[2, unit] * n[2]
        )
        first[unit] = wp.max(value, 0.0)
    r, g, b = float(colour_bias[0]), float(colour_bias[1]), float(colour_bias[2])
    for unit in range(width):
        value = float(hidden_bias[unit])
        for i in range(width):
            value += first[i] * hidden_weight[i, unit]
        value = wp.max(value, 0.0)
        r += value * colour_weight[unit, 0]
        g += value * colour_weight[unit, 1]
        b += value * colour_weight[unit, 2]
    colours[pixel, 0] = 1.0 / (1.0 + wp.exp(-r))
    colours[pixel, 1] = 1.0 / (1.0 + wp.exp(-g))
    colours[pixel, 2] = 1.0 / (1.0 + wp.exp(-b))


# The table of shadings


@dataclass(frozen=True)
class DeviceBuffers:
    """Arrays on the device that the stages of a frame share, for P pixels."""

    triangle: Any  # [P] int32, -1 in the background
    barycentrics: Any  # [P, 3] float32
    faces: Any  # [F, 3] int32
    normals: Any  # [V, 3] float32, unit
    colours: Any  # [P, 3] float32, which a shading fills where there is a triangle

    @property
    def device(self) -> Any:
        """The device of the arrays."""
        return self.triangle.device


class DeviceShading(Protocol):
    """One way to colour the pixels of a frame."""

    constant_size: int
    """Number of values that it needs of each frame."""

    def __init__(self, folder: AvatarFolder, buffers: DeviceBuffers) -> None: ...

    def constant(self, condition: Float32[Array, "1 53"]) -> Float32[Array, " C"]:
        """Those values `[C]` for a condition `[1, 53]`."""
        ...

    def launch(self, constant: Any) -> None:
        """Colour the frame; `constant` is on the device."""
        ...


class DeviceStudent:
    """The student at every pixel."""

    def __init__(self, folder: AvatarFolder, buffers: DeviceBuffers) -> None:
        self._student = student = read_student(folder)
        self.constant_size = student.width
        self._buffers = buffers

        def on_device(array: Float32[Array, "..."]) -> Any:
            return wp.array(array, dtype=wp.float32, device=buffers.device)

        self._features = on_device(student.features)
        self._weights = [
            on_device(array)
            for array in (
                student.normal_weight,
                student.hidden_weight,
                student.hidden_bias,
                student.colour_weight,
                student.colour_bias,
            )
        ]

    def constant(self, condition: Float32[Array, "1 53"]) -> Float32[Array, " C"]:
        """The condition's term of the first layer `[H]`."""
        return self._student.constant(condition)

    def launch(self, constant: Any) -> None:
        """Colour every pixel by the student."""
        buffers = self._buffers
        inputs = [
            buffers.triangle,
            buffers.barycentrics,
            buffers.faces,
            self._features,
            buffers.normals,
            constant,
            *self._weights,
        ]
        wp.launch(
            shade_student,
            len(buffers.triangle),
            inputs=inputs,
            outputs=[buffers.colours],
            device=buffers.device,
        )


class _NetworkShading:
    """Base of the shadings by the full network: the list of points, the network and its biases."""

    def __init__(self, folder: AvatarFolder, buffers: DeviceBuffers, most: int) -> None:
        codes = folder.avatar.texture_code
        self._network_weights = read_texture(folder.file("texture.onnx"), codes.shape[1])
        self._network = WarpTextureNetwork(self._network_weights, most, buffers.device)
        self.constant_size = self._network.width
        self._buffers = buffers
        self._codes = wp.array(codes, dtype=wp.float32, device=buffers.device)
        self._biases = wp.array(self._network.biases, dtype=wp.float32, device=buffers.device)
        self._indices = wp.zeros(most, dtype=wp.int32, device=buffers.device)
        self._count = wp.zeros(1, dtype=wp.int32, device=buffers.device)

    def constant(self, condition: Float32[Array, "1 53"]) -> Float32[Array, " C"]:
        """The condition's term of the first layer `[H]`."""
        return self._network_weights.constant(condition)

    def _list(self, marks: Any) -> None:
        self._count.zero_()
        runs = -(-len(marks) // RUN_ENTRIES)
        wp.launch(
            list_marked,
            runs,
            inputs=[marks, RUN_ENTRIES],
            outputs=[self._indices, self._count],
            device=marks.device,
        )

    def _run(self, constant: Any, colours: Any) -> None:
        """Run the network on the listed points and write their colours to `colours` `[..., 3]`."""
        wp.copy(self._biases, constant, count=self.constant_size)
        self._network.launch(self._count, self._biases)
        wp.launch(
            scatter_colours,
            len(self._indices),
            inputs=[self._indices, self._count, self._network.colours],
            outputs=[colours],
            device=self._buffers.device,
        )


class DeviceVertices(_NetworkShading):
    """The full network at the vertices of visible triangles, then interpolated."""

    def __init__(self, folder: AvatarFolder, buffers: DeviceBuffers) -> None:
        count = folder.avatar.vertex_count
        super().__init__(folder, buffers, count)
        self._marks = wp.zeros(count, dtype=wp.int32, device=buffers.device)
        self._colours = wp.zeros((count, 3), dtype=wp.float32, device=buffers.device)

    def launch(self, constant: Any) -> None:
        """Colour every pixel from the colours of the vertices."""
        buffers = self._buffers
        pixels = len(buffers.triangle)
        self._marks.fill_(-1)
        wp.launch(
            mark_vertices,
            pixels,
            inputs=[buffers.triangle, buffers.faces],
            outputs=[self._marks],
            device=buffers.device,
        )
        self._list(self._marks)
        inputs = [self._indices, self._count, self._codes, buffers.normals, POINT_LANES]
        wp.launch(
            load_vertices,
            (len(self._indices), POINT_LANES),
            inputs=inputs,
            outputs=[self._network.points],
            device=buffers.device,
        )
        self._run(constant, self._colours)
        inputs = [buffers.triangle, buffers.barycentrics, buffers.faces, self._colours]
        wp.launch(
            interpolate, pixels, inputs=inputs, outputs=[buffers.colours], device=buffers.device
        )


class DevicePixels(_NetworkShading):
    """Code and normal interpolated, then the full network at every pixel."""

    def __init__(self, folder: AvatarFolder, buffers: DeviceBuffers) -> None:
        super().__init__(folder, buffers, len(buffers.triangle))

    def launch(self, constant: Any) -> None:
        """Colour every pixel by the network."""
        buffers = self._buffers
        self._list(buffers.triangle)
        inputs = [
            self._indices,
            self._count,
            buffers.triangle,
            buffers.barycentrics,
            buffers.faces,
            self._codes,
            buffers.normals,
            POINT_LANES,
        ]
        wp.launch(
            load_pixels,
            (len(self._indices), POINT_LANES),
            inputs=inputs,
            outputs=[self._network.points],
            device=buffers.device,
        )
        self._run(constant, buffers.colours)


DEVICE_SHADINGS: dict[str, type[DeviceShading]] = {
    "student": DeviceStudent,
    "vertex": DeviceVertices,
    "pixel": DevicePixels,
}
"""The table; its names are those of `rendering.shading.SHADINGS`."""
