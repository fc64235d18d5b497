"""GpuScene: an avatar's arrays on a device, and the kernels that pose and rasterise them."""

from __future__ import annotations

from typing import Any

import numpy as np

from imavatar_deploy.avatar import Avatar

from .arrays import Doubles2, Floats, Floats2, Ints, Ints2
from .library import kernel, wp
from .rasteriser import TRIANGLE_GROUPS, TRIANGLE_LANES, resolve, scan, scan_large
from .shading import DeviceBuffers

# Posing: blendshapes and correctives as one matrix-vector product, then skinning and projection


@kernel
def shape(rest: Floats, basis: Floats2, coefficients: Floats, shaped: Floats) -> None:
    """One coordinate of one vertex: rest `[3 V]` plus the bases `[K, 3 V]` by coefficients `[K]`.

    Neighbouring threads read neighbouring numbers, and a frame reads every basis once, which is the
    minimum. float32, since half precision would cost 1e-5 units and save 4 us of a frame at 50,000
    faces (13 MB at 3.35 TB/s).
    """
    place = wp.tid()
    total = float(rest[place])
    for k in range(basis.shape[0]):
        total += coefficients[k] * basis[k, place]
    shaped[place] = total


@kernel
def skin(
    shaped: Floats,
    weights: Floats2,
    bones: Floats,
    matrix: Floats,
    vertices: Floats2,
    points: Doubles2,
) -> None:
    """Skin one vertex, and project it to image coordinates (column w, row w, w), see `rasteriser`.

    Args:
        bones: `[12 J]`, the upper three rows of each bone's transform.
        matrix: `[12]`, the image matrix.
    """
    vertex = wp.tid()
    count = weights.shape[1]
    x, y, z = shaped[vertex], shaped[count + vertex], shaped[2 * count + vertex]
    for axis in range(3):
        moved = float(0.0)
        for j in range(weights.shape[0]):
            g = 12 * j + 4 * axis
            moved += weights[j, vertex] * (
                bones[g] * x + bones[g + 1] * y + bones[g + 2] * z + bones[g + 3]
            )
        vertices[vertex, axis] = moved
    px, py, pz = (
        wp.float64(vertices[vertex, 0]),
        wp.float64(vertices[vertex, 1]),
        wp.float64(vertices[vertex, 2]),
    )
    for row in range(3):
        m = 4 * row
        points[vertex, row] = (
            wp.float64(matrix[m]) * px
            + wp.float64(matrix[m + 1]) * py
            + wp.float64(matrix[m + 2]) * pz
            + wp.float64(matrix[m + 3])
        )


# Normals: area vectors of the faces, gathered per vertex, plus the detail that the mesh lacks


@kernel
def cross(vertices: Floats2, faces: Ints2, crosses: Floats2) -> None:
    """Compute twice the area times the normal of one face."""
    face = wp.tid()
    a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
    ux = vertices[b, 0] - vertices[a, 0]
    uy = vertices[b, 1] - vertices[a, 1]
    uz = vertices[b, 2] - vertices[a, 2]
    vx = vertices[c, 0] - vertices[a, 0]
    vy = vertices[c, 1] - vertices[a, 1]
    vz = vertices[c, 2] - vertices[a, 2]
    crosses[face, 0] = uy * vz - uz * vy
    crosses[face, 1] = uz * vx - ux * vz
    crosses[face, 2] = ux * vy - uy * vx


@kernel
def gather(
    crosses: Floats2,
    incident: Ints,
    first: Ints,
    detail: Floats2,
    weights: Floats2,
    bones: Floats,
    normals: Floats2,
) -> None:
    """Compute the unit normal of one vertex: the mesh's plus the detail `[3, V]`, posed.

    Args:
        incident: `[3 F]`, the faces around vertex v at first[v]..first[v + 1].
    """
    vertex = wp.tid()
    x, y, z = float(0.0), float(0.0), float(0.0)
    for entry in range(first[vertex], first[vertex + 1]):
        face = incident[entry]
        x += crosses[face, 0]
        y += crosses[face, 1]
        z += crosses[face, 2]
    length = wp.sqrt(x * x + y * y + z * z)
    scale = float(0.0)
    if length > 0.0:
        scale = 1.0 / length
    x, y, z = x * scale, y * scale, z * scale
    dx, dy, dz = detail[0, vertex], detail[1, vertex], detail[2, vertex]
    for j in range(weights.shape[0]):
        g = 12 * j
        weight = weights[j, vertex]
        x += weight * (bones[g] * dx + bones[g + 1] * dy + bones[g + 2] * dz)
        y += weight * (bones[g + 4] * dx + bones[g + 5] * dy + bones[g + 6] * dz)
        z += weight * (bones[g + 8] * dx + bones[g + 9] * dy + bones[g + 10] * dz)
    length = wp.sqrt(x * x + y * y + z * z)
    scale = float(0.0)
    if length > 0.0:
        scale = 1.0 / length
    normals[vertex, 0] = x * scale
    normals[vertex, 1] = y * scale
    normals[vertex, 2] = z * scale


class GpuScene:
    """The geometry of one avatar on a device.

    All memory is allocated by the constructor. Array arguments of the methods are on the device.
    """

    def __init__(self, avatar: Avatar, width: int, height: int, device: Any) -> None:
        self._width = width
        self._height = height
        self._device = device
        self._vertex_count = vertices = avatar.vertex_count
        self._face_count = faces = len(avatar.faces)
        pixels = width * height
        basis = np.concatenate([avatar.expression_basis, avatar.pose_basis])
        self._rest = self._on_device(avatar.rest.reshape(-1))
        self._basis = self._on_device(basis.reshape(len(basis), -1))
        self._weights = self._on_device(avatar.skin_weights)
        self._detail = self._on_device(avatar.normal_detail)
        self._faces = wp.array(avatar.faces, dtype=wp.int32, device=device)
        corners = avatar.faces.ravel()
        first = np.concatenate([[0], np.cumsum(np.bincount(corners, minlength=vertices))])
        self._first = wp.array(first.astype(np.int32), device=device)
        self._incident = wp.array(
            (np.argsort(corners, kind="stable") // 3).astype(np.int32), device=device
        )
        self._shaped = self._room(wp.float32, 3 * vertices)
        self.vertices = self._room(wp.float32, vertices, 3)
        """[V, 3] posed."""
        self.points = self._room(wp.float64, vertices, 3)
        """[V, 3] (column w, row w, w)."""
        self._crosses = self._room(wp.float32, faces, 3)
        self.planes = self._room(wp.float64, faces, 10)
        """[F, 10] edge functions and 1 / area; undefined for triangles that are not drawn."""
        self.front = self._room(wp.uint8, faces + 1)
        """[F + 1] 1 for a triangle that is drawn, else 0; the last one is 0."""
        self._boxes = self._room(wp.int32, faces, 4)
        self._large = self._room(wp.int32, max(faces, 1))
        self._large_count = self._room(wp.int32, 1)
        self._nearest = self._room(wp.uint64, pixels)
        self.buffers = DeviceBuffers(
            triangle=self._room(wp.int32, pixels),
            barycentrics=self._room(wp.float32, pixels, 3),
            faces=self._faces,
            normals=self._room(wp.float32, vertices, 3),
            colours=self._room(wp.float32, pixels, 3),
        )
        """The fragment in each pixel, normals, and room for colours."""

    def animate(self, coefficients: Any, bones: Any, matrix: Any) -> None:
        """Compute vertices and their image coordinates from parts of the `FrameInput`."""
        self._launch(
            shape, 3 * self._vertex_count, [self._rest, self._basis, coefficients], [self._shaped]
        )
        inputs = [self._shaped, self._weights, bones, matrix]
        self._launch(skin, self._vertex_count, inputs, [self.vertices, self.points])

    def normals(self, bones: Any) -> None:
        """Compute the unit normals of the vertices."""
        self._launch(cross, self._face_count, [self.vertices, self._faces], [self._crosses])
        inputs = [self._crosses, self._incident, self._first, self._detail, self._weights, bones]
        self._launch(gather, self._vertex_count, inputs, [self.buffers.normals])

    def raster(self) -> None:
        """Find the triangle in each pixel."""
        self._nearest.zero_()
        self._large_count.zero_()
        inputs = [self.points, self._faces, self._width, self._height]
        outputs = [self.planes, self._boxes, self.front, self._nearest]
        outputs += [self._large, self._large_count]
        self._launch(scan, self._face_count, inputs, outputs)
        inputs = [
            self.planes,
            self._boxes,
            self._large,
            self._large_count,
            self._width,
            TRIANGLE_GROUPS,
            TRIANGLE_LANES,
        ]
        self._launch(scan_large, (TRIANGLE_GROUPS, TRIANGLE_LANES), inputs, [self._nearest])
        self._launch(
            resolve,
            len(self._nearest),
            [self._nearest, self.planes, self._width],
            [self.buffers.triangle, self.buffers.barycentrics],
        )

    def _on_device(self, array: Any) -> Any:
        return wp.array(np.ascontiguousarray(array), dtype=wp.float32, device=self._device)

    def _room(self, kind: Any, *shape: int) -> Any:
        return wp.zeros(shape, dtype=kind, device=self._device)

    def _launch(
        self, kernel: Any, size: int | tuple[int, int], inputs: list[Any], outputs: list[Any]
    ) -> None:
        wp.launch(kernel, size, inputs=inputs, outputs=outputs, device=self._device)
