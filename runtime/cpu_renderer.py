"""CpuRenderer: frames drawn by numba on the host's cores; the texture network runs in whatever session it is given."""

from __future__ import annotations

import numpy as np

from imavatar_deploy.animation.animate import Animator
from imavatar_deploy.animation.normals import SurfaceNormals
from imavatar_deploy.animation.shade import SHADINGS, normal_image
from imavatar_deploy.animation.texture_network import condition_of
from imavatar_deploy.drawing.rasterise import Fragments, Rasteriser
from imavatar_deploy.drawing.workers import Workers

from .composite import composite
from .engines import Chosen
from .renderer import Bytes, Float, Lap, Order, no_lap


class CpuRenderer:
    """See `Renderer`.

    Args:
        network: what runs texture.onnx; its session is None where the shading does not ask it.
    """

    def __init__(self, order: Order, network: Chosen, workers: Workers) -> None:
        folder = order.folder
        avatar = folder.avatar
        self.note = network.note
        self.threads = workers.threads
        self._workers = workers
        self._network = network
        self._size = (order.height, order.width)
        self._faces = avatar.faces
        self._background = order.background
        self._shading = SHADINGS[order.shading](folder, network.session, self._size, workers)
        self._animator = Animator(avatar, workers)
        self._normals = SurfaceNormals(avatar, workers)
        self._rasteriser = Rasteriser(avatar.faces, order.width, order.height, workers)

    def render(self, expression: Float, pose: Float, image_matrix: Float, lap: Lap) -> Bytes:
        """See `Renderer`."""
        fragments, normals = self._drawn(expression, pose, image_matrix, lap)
        colours = self._shading(fragments, normals, condition_of(expression, pose))
        lap()
        image = composite(colours, fragments.triangle, self._background, self._workers)
        lap()
        return image

    def render_batch(self, expressions: Float, poses: Float, image_matrix: Float) -> Bytes:
        """See `Renderer`."""
        images = np.zeros((len(expressions), *self._size, 4), dtype=np.uint8)
        for image, expression, pose in zip(images, expressions, poses, strict=True):
            image[:] = self.render(expression, pose, image_matrix, no_lap)
        return images

    def vertices(self, expression: Float, pose: Float) -> Float:
        """See `Renderer`."""
        return self._animator(expression, pose).vertices

    def normals(self, expression: Float, pose: Float, image_matrix: Float) -> Float:
        """See `Renderer`."""
        fragments, normals = self._drawn(expression, pose, image_matrix, no_lap)
        return normal_image(fragments, self._faces, normals, self._workers)

    def close(self) -> None:
        """See `Renderer`."""
        self._workers.close()
        self._network.close()

    def _drawn(self, expression: Float, pose: Float, image_matrix: Float, lap: Lap) -> tuple[Fragments, Float]:
        """What each pixel sees, and the vertices' normals `[V, 3]`."""
        posed = self._animator(expression, pose)
        lap()
        normals = self._normals(posed)
        lap()
        fragments = self._rasteriser.draw(posed.vertices, image_matrix)
        lap()
        return fragments, normals
