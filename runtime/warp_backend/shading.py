"""The table of shadings on the device: each turns what pixels see into colours, by the rows' own kernels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.avatar_io import AvatarFolder
from imavatar_deploy.student import WIDTHS, read_student

from .arrays import Floats, Floats2, Ints, Ints2
from .library import kernel, wp
from .pixels import between, interpolate, normal_at
from .points import LANES, RUN, list_seen, mark_vertices, put_back, tell_pixels, tell_vertices
from .texture_network import WarpTextureNetwork
from .texture_weights import read_texture

# Student kernel: features and normal interpolated, two small layers and a colour, a thread a pixel.


Units = wp.types.vector(length=max(WIDTHS), dtype=wp.float32)
"""Room for the widest student: 0.5 KB a thread, which stays in the first-level cache."""


@kernel
def shade_student(
    triangle: Ints, barycentrics: Floats2, faces: Ints2, features: Floats2, normals: Floats2, constant: Floats,
    normal_weight: Floats2, hidden_weight: Floats2, hidden_bias: Floats, colour_weight: Floats2, colour_bias: Floats,
    colours: Floats2,
) -> None:  # fmt: skip
    """The colour of one pixel; weights are `[inputs, outputs]`, `constant` `[H]` is the frame's condition."""
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


Float = NDArray[np.float32]


@dataclass(frozen=True)
class Seen:
    """What the stages before leave on the device, for P pixels."""

    triangle: Any  # [P]
    barycentrics: Any  # [P, 3]
    faces: Any  # [F, 3]
    normals: Any  # [V, 3]
    colours: Any  # [P, 3] what a shading fills where a pixel sees something

    @property
    def device(self) -> Any:
        """Where all of it is."""
        return self.triangle.device


class DeviceShading(Protocol):
    """One way to colour."""

    constant_size: int
    """How many numbers it needs of each frame."""

    def __init__(self, folder: AvatarFolder, seen: Seen) -> None: ...

    def constant(self, condition: Float) -> Float:
        """Those numbers for a condition `[1, 53]`."""
        ...

    def launch(self, constant: Any) -> None:
        """Colour the frame; `constant` is on the device."""
        ...


class DeviceStudent:
    """The student at every pixel."""

    def __init__(self, folder: AvatarFolder, seen: Seen) -> None:
        self._student = student = read_student(folder)
        self.constant_size = student.width
        self._seen = seen

        def here(array: Float) -> Any:
            return wp.array(array, dtype=wp.float32, device=seen.device)

        self._features = here(student.features)
        self._weights = [
            here(array)
            for array in (
                student.normal_weight,
                student.hidden_weight,
                student.hidden_bias,
                student.colour_weight,
                student.colour_bias,
            )
        ]

    def constant(self, condition: Float) -> Float:
        """See `DeviceShading`."""
        return self._student.constant(condition)

    def launch(self, constant: Any) -> None:
        """See `DeviceShading`."""
        seen = self._seen
        given = [
            seen.triangle,
            seen.barycentrics,
            seen.faces,
            self._features,
            seen.normals,
            constant,
            *self._weights,
        ]
        wp.launch(
            shade_student,
            len(seen.triangle),
            inputs=given,
            outputs=[seen.colours],
            device=seen.device,
        )


class _ByNetwork:
    """What both ways to ask the full network share: the list of points, the network, its biases."""

    def __init__(self, folder: AvatarFolder, seen: Seen, most: int) -> None:
        codes = folder.avatar.texture_code
        self._network_weights = read_texture(folder.file("texture.onnx"), codes.shape[1])
        self._network = WarpTextureNetwork(self._network_weights, most, seen.device)
        self.constant_size = self._network.width
        self._seen = seen
        self._codes = wp.array(codes, dtype=wp.float32, device=seen.device)
        self._biases = wp.array(self._network.biases, dtype=wp.float32, device=seen.device)
        self._listed = wp.zeros(most, dtype=wp.int32, device=seen.device)
        self._count = wp.zeros(1, dtype=wp.int32, device=seen.device)

    def constant(self, condition: Float) -> Float:
        """See `DeviceShading`."""
        return self._network_weights.constant(condition)

    def _list(self, marks: Any) -> None:
        self._count.zero_()
        runs = -(-len(marks) // RUN)
        wp.launch(
            list_seen,
            runs,
            inputs=[marks, RUN],
            outputs=[self._listed, self._count],
            device=marks.device,
        )

    def _ask(self, constant: Any, colours: Any) -> None:
        """Colours `[..., 3]` of the listed points to their places."""
        wp.copy(self._biases, constant, count=self.constant_size)
        self._network.launch(self._count, self._biases)
        answered = [self._listed, self._count, self._network.told]
        wp.launch(
            put_back,
            len(self._listed),
            inputs=answered,
            outputs=[colours],
            device=self._seen.device,
        )


class DeviceVertices(_ByNetwork):
    """The full network at the corners of everything seen, then interpolated."""

    def __init__(self, folder: AvatarFolder, seen: Seen) -> None:
        count = folder.avatar.vertex_count
        super().__init__(folder, seen, count)
        self._marks = wp.zeros(count, dtype=wp.int32, device=seen.device)
        self._colours = wp.zeros((count, 3), dtype=wp.float32, device=seen.device)

    def launch(self, constant: Any) -> None:
        """See `DeviceShading`."""
        seen, pixels = self._seen, len(self._seen.triangle)
        self._marks.fill_(-1)
        wp.launch(
            mark_vertices,
            pixels,
            inputs=[seen.triangle, seen.faces],
            outputs=[self._marks],
            device=seen.device,
        )
        self._list(self._marks)
        given = [self._listed, self._count, self._codes, seen.normals, LANES]
        wp.launch(
            tell_vertices,
            (len(self._listed), LANES),
            inputs=given,
            outputs=[self._network.points],
            device=seen.device,
        )
        self._ask(constant, self._colours)
        given = [seen.triangle, seen.barycentrics, seen.faces, self._colours]
        wp.launch(interpolate, pixels, inputs=given, outputs=[seen.colours], device=seen.device)


class DevicePixels(_ByNetwork):
    """Code and normal interpolated, then the full network at every pixel."""

    def __init__(self, folder: AvatarFolder, seen: Seen) -> None:
        super().__init__(folder, seen, len(seen.triangle))

    def launch(self, constant: Any) -> None:
        """See `DeviceShading`."""
        seen = self._seen
        self._list(seen.triangle)
        given = [
            self._listed,
            self._count,
            seen.triangle,
            seen.barycentrics,
            seen.faces,
            self._codes,
            seen.normals,
            LANES,
        ]
        wp.launch(
            tell_pixels,
            (len(self._listed), LANES),
            inputs=given,
            outputs=[self._network.points],
            device=seen.device,
        )
        self._ask(constant, seen.colours)


DEVICE_SHADINGS: dict[str, type[DeviceShading]] = {
    "student": DeviceStudent,
    "vertex": DeviceVertices,
    "pixel": DevicePixels,
}
"""The table; its names are those of `shade.SHADINGS`."""
