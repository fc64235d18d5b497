"""The frames of a reference, drawn from a baked avatar as the player draws them."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.avatar_io import AvatarFolder
from imavatar_deploy.graphs import run_graph
from imavatar_deploy.rendering.cpu_renderer import (
    CpuRenderer,
    PosedSurface,
    PoseSurface,
    open_cpu_renderer,
)
from imavatar_deploy.rendering.renderer import RenderConfig, StageCallback
from imavatar_deploy.rendering.workers import Workers

from .picture import Picture, shown
from .reference import Reference

Float = NDArray[np.float32]


def draw(
    folder: AvatarFolder, reference: Reference, shading: str, *, session: Any = None, animate: Any = None
) -> list[Picture]:
    """Draw the frames of `reference` from a baked avatar.

    Args:
        shading: a row of `SHADINGS`.
        session: runs the texture network; ONNX Runtime on the CPU when left out.
        animate: session that runs animate.onnx; the renderer's own posing when left out.
    """
    size = reference.size
    config = RenderConfig(folder, size, size, shading)
    if session is None and animate is None:
        renderer = open_cpu_renderer(config)
    else:
        posing = None if animate is None else _posed_by_graph(animate)
        renderer = CpuRenderer(config, Workers(), session, pose_surface=posing)
    matrix = reference.camera.image_matrix(size, size)
    with closing(renderer):
        return [
            shown(*renderer.buffers(expression, pose, matrix))
            for expression, pose in zip(reference.expression, reference.pose, strict=True)
        ]


def _posed_by_graph(session: Any) -> PoseSurface:
    def pose_surface(expression: Float, pose: Float, stage_done: StageCallback) -> PosedSurface:
        posed = run_graph(session, {"expression": expression[None], "pose": pose[None]})
        vertices, normals = (np.ascontiguousarray(posed[name][0].T) for name in PosedSurface._fields)
        return PosedSurface(vertices, normals)

    return pose_surface
