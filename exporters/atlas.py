"""Bake a texture image: unwrap the mesh with xatlas, compute the colour of each texel."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from imavatar_deploy.arrays import Array, Bool, Float32, Int32, Integer
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.errors import InternalError
from imavatar_deploy.optional import require
from imavatar_deploy.progress import Progress, silent
from imavatar_deploy.rendering.rasteriser import Rasteriser
from imavatar_deploy.rendering.workers import Workers

from .formats.gltf.materials import Texture
from .skeleton import rest_normals

SurfaceColours = Callable[[Integer[Array, "N 3"], Float32[Array, "N 3"]], Float32[Array, "N 3"]]
"""Colours, sRGB, of surface points: (corners of a face, barycentric coordinates) -> rgb."""

PADDING = 4
"""Texels between two islands; they keep the first mipmaps from mixing the islands' colours."""

FLAT = np.eye(3, 4, dtype=np.float32)
FLAT[2] = (0, 0, 0, 1)
"""Image matrix `[3, 4]` that draws a vertex at column x and row y."""


class Atlas:
    """The unwrapped mesh of an avatar, for images of `size` texels a side.

    Args:
        avatar: the baked avatar.
        size: texels a side.
        progress: shows how far the work is.
    """

    def __init__(self, avatar: Avatar, size: int, progress: Progress = silent) -> None:
        with progress("unwrapping", None):
            self._origin, self._faces, self._uv = _unwrap(avatar, size)
        self._corners = avatar.faces
        self._triangle, self._weights = _texels(self._uv, self._faces, size)

    def bake(self, colours: SurfaceColours) -> Texture:
        """Bake colours of the surface into an image."""
        covered = self._triangle >= 0
        image = np.zeros((*covered.shape, 3), dtype=np.float32)
        corners = self._corners[self._triangle[covered]]
        image[covered] = colours(corners, self._weights[covered])
        return Texture(_png(_spread(image, covered)), self._uv, self._origin, self._faces)


def bake_texture(
    avatar: Avatar, colours: SurfaceColours, size: int, progress: Progress = silent
) -> Texture:
    """Bake colours of an avatar's surface into an image of `size` texels a side.

    They are those of a refined student where there is one, else of the full texture network.

    Returns:
        The image with its unwrapped mesh.
    """
    return Atlas(avatar, size, progress).bake(colours)


def surface_at(
    avatar: Avatar,
    corners: Integer[Array, "N 3"],
    weights: Float32[Array, "N 3"],
    normals: Float32[Array, "V 3"] | None = None,
) -> tuple[Float32[Array, "N 3"], Float32[Array, "N 3"]]:
    """Interpolate canonical points and unit normals `[N, 3]` within faces.

    Args:
        avatar: the baked avatar.
        corners: the three vertices around each point.
        weights: barycentric coordinates of each point.
        normals: of the vertices; those at rest when None.
    """
    canonical = np.ascontiguousarray(avatar.canonical.T)
    normals = rest_normals(avatar) if normals is None else normals
    points, directions = (
        np.einsum("nk,nkc->nc", weights, field[corners]) for field in (canonical, normals)
    )
    lengths = np.linalg.norm(directions, axis=1, keepdims=True)
    return points.astype(np.float32), (directions / np.maximum(lengths, 1e-12)).astype(np.float32)


def _unwrap(
    avatar: Avatar, size: int
) -> tuple[Integer[Array, " U"], Int32[Array, "F 3"], Float32[Array, "U 2"]]:
    """Avatar vertex of each of the U unwrapped vertices, faces, and texture coordinates."""
    xatlas = require("xatlas", extra="gltf")
    atlas = xatlas.Atlas()
    atlas.add_mesh(np.ascontiguousarray(avatar.rest.T), avatar.faces.astype(np.uint32))
    options = xatlas.PackOptions()
    options.resolution = size
    options.padding = PADDING
    options.bilinear = True
    atlas.generate(pack_options=options)
    origin, faces, uv = atlas[0]
    if not np.array_equal(origin[faces], avatar.faces):
        raise InternalError("xatlas changed the order of the faces")
    return (
        origin.astype(np.intp),
        faces.astype(np.int32),
        np.ascontiguousarray(uv, dtype=np.float32),
    )


def _texels(
    uv: Float32[Array, "U 2"], faces: Int32[Array, "F 3"], size: int
) -> tuple[Int32[Array, "S S"], Float32[Array, "S S 3"]]:
    """Triangle of every texel, -1 where there is none, and the barycentric coordinates on it."""
    flat = np.zeros((len(uv), 3), dtype=np.float32)
    flat[:, :2] = uv * size - 0.5
    with Workers() as workers:
        fragments = Rasteriser(faces, size, size, workers, cull=False).draw(flat, FLAT)
    return fragments.triangle, fragments.barycentrics


def _spread(image: Float32[Array, "S S 3"], covered: Bool[Array, "S S"]) -> Float32[Array, "S S 3"]:
    """Fill every texel outside the islands with the colour of the nearest texel inside."""
    _, nearest = cv2.distanceTransformWithLabels(
        (~covered).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    colour_of = np.zeros((nearest.max() + 1, 3), dtype=np.float32)
    colour_of[nearest[covered]] = image[covered]
    return np.where(covered[:, :, None], image, colour_of[nearest])


def _png(image: Float32[Array, "S S 3"]) -> bytes:
    pixels = np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
    succeeded, data = cv2.imencode(".png", pixels[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
    if not succeeded:
        raise InternalError("OpenCV could not encode the texture as PNG")
    return bytes(data)
