"""Drawing: the proof frames as the player draws them, by any shading and whatever runs its network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.animation.animate import Animator
from imavatar_deploy.animation.normals import SurfaceNormals
from imavatar_deploy.animation.shade import SHADINGS, normal_image
from imavatar_deploy.animation.texture_network import condition_of
from imavatar_deploy.avatar_io import AvatarFolder
from imavatar_deploy.drawing.rasterise import Rasteriser
from imavatar_deploy.drawing.workers import Workers
from imavatar_deploy.graphs import run_graph

from .picture import Picture, shown
from .reference import Reference

Float = NDArray[np.float32]
Posing = Callable[[Float, Float], tuple[Float, Float]]
"""Expression `[E]` and pose `[15]` -> vertices and unit normals `[V, 3]`."""


def draw(
    folder: AvatarFolder, reference: Reference, shading: str, *, session: Any = None, animate: Any = None
) -> list[Picture]:
    """The frames of `reference` from a baked avatar.

    Args:
        shading: a row of `SHADINGS`.
        session: what runs the texture network; ONNX Runtime on the CPU when left out.
        animate: what runs animate.onnx; the player's own animation when left out.
    """
    avatar, size = folder.avatar, reference.size
    with Workers() as workers:
        shade = SHADINGS[shading](folder, session, (size, size), workers)
        rasteriser = Rasteriser(avatar.faces, size, size, workers)
        posing = _own(folder, workers) if animate is None else _of_graph(animate)
        pictures = []
        for expression, pose in zip(reference.expression, reference.pose, strict=True):
            vertices, normals = posing(expression, pose)
            fragments = rasteriser.draw(vertices, reference.camera.image_matrix(size, size))
            colours = shade(fragments, normals, condition_of(expression, pose))
            seen = normal_image(fragments, avatar.faces, normals, workers)
            pictures.append(shown(colours, seen, fragments.triangle >= 0))
    return pictures


def _own(folder: AvatarFolder, workers: Workers) -> Posing:
    animator, normals = Animator(folder.avatar, workers), SurfaceNormals(folder.avatar, workers)

    def posing(expression: Float, pose: Float) -> tuple[Float, Float]:
        posed = animator(expression, pose)
        return posed.vertices, normals(posed)

    return posing


def _of_graph(session: Any) -> Posing:
    def posing(expression: Float, pose: Float) -> tuple[Float, Float]:
        moved = run_graph(session, {"expression": expression[None], "pose": pose[None]})
        return np.ascontiguousarray(moved["vertices"][0].T), np.ascontiguousarray(moved["normals"][0].T)

    return posing
