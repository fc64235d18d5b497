"""A texture baked from the networks: the mesh unwrapped by xatlas, and every texel asked of them where it lies."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.errors import InternalError
from imavatar_deploy.model import ImplicitAvatar
from imavatar_deploy.optional import require
from imavatar_deploy.progress import Progress, silent
from imavatar_deploy.rendering.rasteriser import Rasteriser
from imavatar_deploy.rendering.workers import Workers

from .bake import Bake
from .formats.gltf.materials import Texture
from .skeleton import rest_normals
from .surface_colours import point_colours

Float = NDArray[np.float32]
Index = NDArray[np.int32]

PADDING = 4
"""Texels between two islands, so that the first mipmaps do not mix them."""

FLAT = np.eye(3, 4, dtype=np.float32)
FLAT[2] = (0, 0, 0, 1)
"""Draws vertices at the column and row that their x and y say."""


def bake_texture(
    source: ImplicitAvatar, bake: Bake, size: int, progress: Progress = silent
) -> Texture:
    """An image of `size` texels a side with the neutral face's colours, and the unwrapped mesh that wears it."""
    with progress("unwrapping", None):
        origin, faces, uv = _unwrap(bake.avatar, size)
    triangle, shares = _texels(uv, faces, size)
    covered = triangle >= 0
    corners = bake.avatar.faces[triangle[covered]]
    points, normals = surface_at(bake, corners, shares[covered])
    image = np.zeros((size, size, 3), dtype=np.float32)
    image[covered] = point_colours(source, points, normals, progress=progress)
    return Texture(_png(_spread(image, covered)), uv, origin, faces)


def surface_at(bake: Bake, corners: Index, shares: Float) -> tuple[Float, Float]:
    """Canonical points and unit normals at rest `[N, 3]`, at `shares` `[N, 3]` of three vertices each, `corners`."""
    canonical, normals = np.ascontiguousarray(bake.avatar.canonical.T), rest_normals(bake.avatar)
    points, turned = (
        np.einsum("nk,nkc->nc", shares, field[corners]) for field in (canonical, normals)
    )
    lengths = np.linalg.norm(turned, axis=1, keepdims=True)
    return points.astype(np.float32), (turned / np.maximum(lengths, 1e-12)).astype(np.float32)


def _unwrap(avatar: Avatar, size: int) -> tuple[NDArray[np.intp], Index, Float]:
    """Vertex of the avatar `[V']`, faces `[F, 3]` and places in the image `[V', 2]`."""
    xatlas = require("xatlas", extra="gltf")
    atlas = xatlas.Atlas()
    atlas.add_mesh(np.ascontiguousarray(avatar.rest.T), avatar.faces.astype(np.uint32))
    options = xatlas.PackOptions()
    options.resolution, options.padding, options.bilinear = size, PADDING, True
    atlas.generate(pack_options=options)
    origin, faces, uv = atlas[0]
    if not np.array_equal(origin[faces], avatar.faces):
        raise InternalError("xatlas gave the faces in another order")
    return (
        origin.astype(np.intp),
        faces.astype(np.int32),
        np.ascontiguousarray(uv, dtype=np.float32),
    )


def _texels(uv: Float, faces: Index, size: int) -> tuple[Index, Float]:
    """Triangle of every texel `[S, S]`, -1 where there is none, and where on it `[S, S, 3]`."""
    flat = np.zeros((len(uv), 3), dtype=np.float32)
    flat[:, :2] = uv * size - 0.5
    with Workers() as workers:
        fragments = Rasteriser(faces, size, size, workers, cull=False).draw(flat, FLAT)
    return fragments.triangle, fragments.barycentrics


def _spread(image: Float, covered: NDArray[np.bool_]) -> Float:
    """Every texel outside of the islands takes the colour of the nearest inside."""
    _, nearest = cv2.distanceTransformWithLabels(
        (~covered).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    colour_of = np.zeros((nearest.max() + 1, 3), dtype=np.float32)
    colour_of[nearest[covered]] = image[covered]
    return np.where(covered[:, :, None], image, colour_of[nearest])


def _png(image: Float) -> bytes:
    eight = np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
    written, data = cv2.imencode(".png", eight[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
    if not written:
        raise InternalError("the texture could not be written as PNG")
    return bytes(data)
