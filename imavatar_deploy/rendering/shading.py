"""Shading: colours of the covered pixels, by the student or the full texture network.

The full network is evaluated per vertex or per pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.arrays import Array, Float32, Int32
from imavatar_deploy.avatar_io import AvatarFolder
from imavatar_deploy.student import has_student

from .rasteriser import Fragments
from .student_shading import StudentShading
from .texture_network import TEXTURE_GRAPH, TextureGraph
from .workers import Workers, kernel

# Arrays in compiled loops
Floats = NDArray[np.float32]
Index = NDArray[np.int32]

Size = tuple[int, int]
"""Height and width."""


class Shading(Protocol):
    """Computes the colours of the fragments of a frame."""

    uses_texture_network: ClassVar[bool]
    """Whether it evaluates the full texture network and needs a session."""

    def __init__(self, folder: AvatarFolder, session: Any, size: Size, workers: Workers) -> None:
        """Prepare for images of one size.

        Args:
            session: runs texture.onnx; None where `uses_texture_network` is false.
        """
        ...

    def __call__(
        self,
        fragments: Fragments,
        normals: Float32[Array, "V 3"],
        condition: Float32[Array, "1 53"],
    ) -> Float32[Array, "H W 3"]:
        """Return the colours of the covered pixels in 0..1; the next call overwrites them.

        Other pixels are undefined.

        Args:
            normals: of the vertices.
            condition: see `texture_network.condition_of`.
        """
        ...


class VertexShading:
    """Evaluates the network at each vertex of a visible triangle and interpolates the colours.

    It is the faster use of the full network.
    """

    uses_texture_network: ClassVar[bool] = True

    def __init__(self, folder: AvatarFolder, session: Any, size: Size, workers: Workers) -> None:
        avatar = folder.avatar
        self._network = TextureGraph(folder.path / TEXTURE_GRAPH, avatar, workers.threads, session)
        self._workers = workers
        self._faces = np.array(avatar.faces)
        self._codes = avatar.texture_code
        self._colours = np.zeros((avatar.vertex_count, 3), dtype=np.float32)
        self._visible = np.zeros(avatar.vertex_count, dtype=np.bool_)
        self._image = np.zeros((*size, 3), dtype=np.float32)

    def __call__(
        self,
        fragments: Fragments,
        normals: Float32[Array, "V 3"],
        condition: Float32[Array, "1 53"],
    ) -> Float32[Array, "H W 3"]:
        """Return the colours of the covered pixels, as `Shading`."""
        self._visible[:] = False
        self._workers.each(
            _mark, len(fragments.triangle), fragments.triangle, self._faces, self._visible
        )
        visible = np.flatnonzero(self._visible)

        def fill(start: int, stop: int) -> None:
            rows = visible[start:stop]
            size = stop - start
            np.take(self._codes, rows, axis=0, out=self._network.code[:size], mode="clip")
            np.take(normals, rows, axis=0, out=self._network.normal[:size], mode="clip")

        self._colours[visible] = self._network.run(len(visible), fill, condition)
        lookup = (
            fragments.triangle,
            fragments.barycentrics,
            self._faces,
            self._colours,
            self._image,
        )
        self._workers.each(_interpolate_image, len(self._image), *lookup)
        return self._image


class PixelShading:
    """Interpolates code and normal and evaluates the network at each covered pixel.

    It is the sharper use of the full network, and that of the implicit renderer.
    """

    uses_texture_network: ClassVar[bool] = True

    def __init__(self, folder: AvatarFolder, session: Any, size: Size, workers: Workers) -> None:
        avatar = folder.avatar
        self._network = TextureGraph(folder.path / TEXTURE_GRAPH, avatar, workers.threads, session)
        self._workers = workers
        self._faces = np.array(avatar.faces)
        self._codes = np.array(avatar.texture_code)
        self._image = np.zeros((*size, 3), dtype=np.float32)

    def __call__(
        self,
        fragments: Fragments,
        normals: Float32[Array, "V 3"],
        condition: Float32[Array, "1 53"],
    ) -> Float32[Array, "H W 3"]:
        """Return the colours of the covered pixels, as `Shading`."""
        covered = np.flatnonzero(fragments.triangle >= 0)
        corners = self._faces[fragments.triangle.reshape(-1)[covered]]
        weights = fragments.barycentrics.reshape(-1, 3)[covered]

        def fill(start: int, stop: int) -> None:
            chunk = (corners[start:stop], weights[start:stop])
            self._workers.each(_interpolate, stop - start, *chunk, self._codes, self._network.code)
            self._workers.each(_interpolate, stop - start, *chunk, normals, self._network.normal)
            self._workers.each(_normalise, stop - start, self._network.normal)

        self._image.reshape(-1, 3)[covered] = self._network.run(len(covered), fill, condition)
        return self._image


SHADINGS: dict[str, type[Shading]] = {
    "student": StudentShading,
    "vertex": VertexShading,
    "pixel": PixelShading,
}
"""Shadings by the names of `--shading`."""

AUTO = "auto"
"""Name of the shading that the backend prefers among those that the avatar supports."""

CPU_PREFERENCE = ("student", "vertex")
"""Shadings that `auto` stands for on a CPU: the first that the avatar supports."""


def available_shading(folder: AvatarFolder, preference: Sequence[str] = CPU_PREFERENCE) -> str:
    """Return the first shading of `preference` for which the avatar folder has the files.

    If there is none, return the first that uses the texture network: opening it fails with the name
    of the missing file.
    """
    for name in preference:
        if SHADINGS[name].uses_texture_network:
            if TEXTURE_GRAPH in folder.manifest["files"]:
                return name
        elif has_student(folder):
            return name
    return next(name for name, row in SHADINGS.items() if row.uses_texture_network)


def normal_image(
    fragments: Fragments,
    faces: Int32[Array, "F 3"],
    normals: Float32[Array, "V 3"],
    workers: Workers,
) -> Float32[Array, "H W 3"]:
    """Return the unit normals at the fragments, interpolated between vertices; elsewhere zero."""
    image = np.zeros_like(fragments.barycentrics)
    workers.each(
        _interpolate_image,
        len(image),
        fragments.triangle,
        fragments.barycentrics,
        faces,
        normals,
        image,
    )
    flat = image.reshape(-1, 3)
    workers.each(_normalise, len(flat), flat)
    return image


@kernel
def _mark(start: int, stop: int, triangle: Index, faces: Index, visible: NDArray[np.bool_]) -> None:
    """Mark the corners of the triangles in the rows start..stop; threads write only True."""
    for y in range(start, stop):
        last = -1
        for x in range(triangle.shape[1]):
            face = triangle[y, x]
            if face >= 0 and face != last:
                for corner in range(3):
                    visible[faces[face, corner]] = True
                last = face


@kernel
def _interpolate_image(
    start: int,
    stop: int,
    triangle: Index,
    barycentrics: Floats,
    faces: Index,
    colours: Floats,
    image: Floats,
) -> None:
    """Interpolate the colours of the vertices in the rows start..stop."""
    for y in range(start, stop):
        for x in range(triangle.shape[1]):
            face = triangle[y, x]
            if face >= 0:
                a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
                u, v, w = barycentrics[y, x, 0], barycentrics[y, x, 1], barycentrics[y, x, 2]
                for channel in range(3):
                    image[y, x, channel] = (
                        u * colours[a, channel] + v * colours[b, channel] + w * colours[c, channel]
                    )


@kernel
def _interpolate(
    start: int, stop: int, corners: Index, weights: Floats, attribute: Floats, out: Floats
) -> None:
    """Interpolate an attribute of the vertices at the points start..stop."""
    for point in range(start, stop):
        a, b, c = corners[point, 0], corners[point, 1], corners[point, 2]
        u, v, w = weights[point, 0], weights[point, 1], weights[point, 2]
        for column in range(attribute.shape[1]):
            out[point, column] = (
                u * attribute[a, column] + v * attribute[b, column] + w * attribute[c, column]
            )


@kernel
def _normalise(start: int, stop: int, vectors: Floats) -> None:
    """Scale the vectors start..stop to length one; vectors of length zero stay."""
    for point in range(start, stop):
        x, y, z = vectors[point, 0], vectors[point, 1], vectors[point, 2]
        length = np.sqrt(x * x + y * y + z * z)
        if length > 0:
            vectors[point, 0] = x / length
            vectors[point, 1] = y / length
            vectors[point, 2] = z / length
