"""Template picture: the head model's own mesh, morphed and drawn without any network; and shading by normals alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.camera import Camera
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.rendering.rasteriser import Rasteriser
from imavatar_deploy.rendering.workers import Workers

from ..evaluation.case import Image, Mask
from ..subject import vertex_normals

AMBIENT = 0.25
"""Grey of a surface seen edge-on; one that faces the camera is white."""


class TemplatePainter:
    """Draws a head model's mesh in any expression and pose (template morphing).

    Args:
        head: with the subject's shape in its template.
    """

    def __init__(self, head: HeadModel, size: int, workers: Workers) -> None:
        self._head, self._size = head, size
        self._rasteriser = Rasteriser(head.faces, size, size, workers)

    def draw(self, expression: NDArray[np.float32], pose: NDArray[np.float32], camera: Camera) -> tuple[Image, Mask]:
        """Unit normals `[S, S, 3]` in model space, zero outside of the mask, and the mask `[S, S]`."""
        vertices = np.asarray(UNITS_PER_METRE * self._head.vertices(expression, pose), dtype=np.float32)
        normals = vertex_normals(vertices, self._head.faces.astype(np.int64))
        seen = self._rasteriser.draw(vertices, camera.image_matrix(self._size, self._size))
        mask = seen.triangle >= 0
        corners = normals[self._head.faces[np.where(mask, seen.triangle, 0)]]
        normal = np.einsum("hwk,hwkc->hwc", np.where(mask[..., None], seen.barycentrics, 0.0), corners)
        length = np.linalg.norm(normal, axis=2, keepdims=True)
        return np.asarray(normal / np.maximum(length, 1e-12), dtype=np.float32), mask


def shaded(normal: Image, mask: Mask, camera: Camera) -> Image:
    """[H, W, 3] a grey surface lit from the camera, over white."""
    facing = np.clip(normal @ camera.world_to_camera[2, :3], 0.0, 1.0)
    grey = np.where(mask, AMBIENT + (1.0 - AMBIENT) * facing, 1.0)
    return np.repeat(grey[..., None], 3, axis=2).astype(np.float32)
