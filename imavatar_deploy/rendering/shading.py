"""Shading: the colour of each covered pixel, by the student or by the full texture network per vertex or per pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.avatar_io import AvatarFolder
from imavatar_deploy.student import has_student

from .rasteriser import Fragments
from .student_shading import StudentShading
from .texture_network import TEXTURE_GRAPH, TextureGraph
from .workers import Workers, kernel

Float = NDArray[np.float32]
Index = NDArray[np.int32]
Size = tuple[int, int]
"""Height and width."""


class Shading(Protocol):
    """One way to colour the fragments of a frame."""

    uses_texture_network: ClassVar[bool]
    """Whether it evaluates the full texture network, and so needs a session."""

    def __init__(self, folder: AvatarFolder, session: Any, size: Size, workers: Workers) -> None:
        """`session` runs texture.onnx, where that is asked."""
        ...

    def __call__(self, fragments: Fragments, normals: Float, condition: Float) -> Float:
        """[H, W, 3] colours in 0..1 of the covered pixels, given normals `[V, 3]` and the condition `[1, 53]`.

        What it holds elsewhere is undefined; the next call overwrites it.
        """
        ...


class VertexShading:
    """Ask once for each vertex of a visible triangle, then interpolate the colours: the faster."""

    uses_texture_network: ClassVar[bool] = True

    def __init__(self, folder: AvatarFolder, session: Any, size: Size, workers: Workers) -> None:
        avatar = folder.avatar
        self._network = TextureGraph(folder.path / TEXTURE_GRAPH, avatar, workers.threads, session)
        self._workers = workers
        self._faces = np.array(avatar.faces)
        self._codes = avatar.texture_code
        self._colours = np.zeros((avatar.vertex_count, 3), dtype=np.float32)
        self._seen = np.zeros(avatar.vertex_count, dtype=np.bool_)
        self._image = np.zeros((*size, 3), dtype=np.float32)

    def __call__(self, fragments: Fragments, normals: Float, condition: Float) -> Float:
        """See `Shading`."""
        self._seen[:] = False
        self._workers.each(
            _mark, len(fragments.triangle), fragments.triangle, self._faces, self._seen
        )
        visible = np.flatnonzero(self._seen)

        def fill(start: int, stop: int) -> None:
            np.take(
                self._codes,
                visible[start:stop],
                axis=0,
                out=self._network.code[: stop - start],
                mode="clip",
            )
            np.take(
                normals,
                visible[start:stop],
                axis=0,
                out=self._network.normal[: stop - start],
                mode="clip",
            )

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
    """Interpolate code and normal, then ask for each covered pixel: the sharper, as the implicit renderer does."""

    uses_texture_network: ClassVar[bool] = True

    def __init__(self, folder: AvatarFolder, session: Any, size: Size, workers: Workers) -> None:
        avatar = folder.avatar
        self._network = TextureGraph(folder.path / TEXTURE_GRAPH, avatar, workers.threads, session)
        self._workers = workers
        self._faces = np.array(avatar.faces)
        self._codes = np.array(avatar.texture_code)
        self._image = np.zeros((*size, 3), dtype=np.float32)

    def __call__(self, fragments: Fragments, normals: Float, condition: Float) -> Float:
        """See `Shading`."""
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
"""The table of `--shading`."""

AUTO = "auto"
"""The shading that the backend prefers of those that the avatar has."""

CPU_PREFERENCE = ("student", "vertex")
"""What `auto` means on a CPU: the first of these that the avatar has."""


def available_shading(folder: AvatarFolder, preference: Sequence[str] = CPU_PREFERENCE) -> str:
    """Return the first shading of `preference` for which the avatar folder has the files.

    Without any, the first that uses the texture network: opening it names the file that is missing.
    """
    for name in preference:
        if SHADINGS[name].uses_texture_network:
            if TEXTURE_GRAPH in folder.manifest["files"]:
                return name
        elif has_student(folder):
            return name
    return next(name for name, row in SHADINGS.items() if row.uses_texture_network)


def normal_image(
    fragments: Fragments, faces: NDArray[np.int32], normals: Float, workers: Workers
) -> Float:
    """[H, W, 3] unit normals at the fragments, from those of the vertices `[V, 3]`; zero where there is no fragment."""
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
def _mark(start: int, stop: int, triangle: Index, faces: Index, seen: NDArray[np.bool_]) -> None:
    """Mark the corners of the triangles seen in the rows start..stop; threads may write the same True."""
    for y in range(start, stop):
        last = -1
        for x in range(triangle.shape[1]):
            face = triangle[y, x]
            if face >= 0 and face != last:
                seen[faces[face, 0]] = seen[faces[face, 1]] = seen[faces[face, 2]] = True
                last = face


@kernel
def _interpolate_image(
    start: int,
    stop: int,
    triangle: Index,
    barycentrics: Float,
    faces: Index,
    colours: Float,
    image: Float,
) -> None:
    """Colours of the rows start..stop from the colours of the vertices."""
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
    start: int, stop: int, corners: Index, weights: Float, attribute: Float, out: Float
) -> None:
    """Any per-vertex attribute at the points start..stop."""
    for point in range(start, stop):
        a, b, c = corners[point, 0], corners[point, 1], corners[point, 2]
        u, v, w = weights[point, 0], weights[point, 1], weights[point, 2]
        for column in range(attribute.shape[1]):
            out[point, column] = (
                u * attribute[a, column] + v * attribute[b, column] + w * attribute[c, column]
            )


@kernel
def _normalise(start: int, stop: int, vectors: Float) -> None:
    """Give the vectors start..stop length one; those of no length stay."""
    for point in range(start, stop):
        x, y, z = vectors[point, 0], vectors[point, 1], vectors[point, 2]
        length = np.sqrt(x * x + y * y + z * z)
        if length > 0:
            vectors[point, 0], vectors[point, 1], vectors[point, 2] = (
                x / length,
                y / length,
                z / length,
            )
