"""The frames of a reference, drawn from a baked avatar as the player draws them."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.avatar_io import AvatarFolder
from imavatar_deploy.onnx_session import run_graph
from imavatar_deploy.rendering.cpu_renderer import (
    CpuRenderer,
    PosedSurface,
    PoseSurface,
    open_cpu_renderer,
)
from imavatar_deploy.rendering.renderer import RenderConfig, StageCallback
from imavatar_deploy.rendering.workers import Workers
from imavatar_deploy.student import has_student

from .reference_frames import FILE, ReferenceFrames, read_reference
from .stage_metrics import (
    FILE as TOLERANCES,
)
from .stage_metrics import (
    FrameImages,
    StageReport,
    chained,
    measure,
    read_tolerances,
    shown,
)

Float = NDArray[np.float32]


def draw(
    folder: AvatarFolder,
    reference: ReferenceFrames,
    shading: str,
    *,
    session: Any = None,
    animate: Any = None,
) -> list[FrameImages]:
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
        vertices, normals = (
            np.ascontiguousarray(posed[name][0].T) for name in PosedSurface._fields
        )
        return PosedSurface(vertices, normals)

    return pose_surface


# Rejudge: a finished avatar folder drawn again and held against the implicit renders in it; torch is not needed.


def rejudge(folder: AvatarFolder) -> list[StageReport]:
    """Each way to colour pixels that the folder has, against the implicit renders; none in a folder without them.

    What may be lost is what the hops on the way may lose together.

    Raises:
        InputError: the renders or tolerances cannot be read.
    """
    files = folder.manifest["files"]
    if FILE not in files or TOLERANCES not in files:
        return []
    reference, allowed = read_reference(folder.file(FILE)), read_tolerances(folder.file(TOLERANCES))
    has_network = "texture.onnx" in files
    hops = ["baked", *(["onnx"] if has_network else [])]
    ways = {"pixel": hops} if has_network else {}
    if has_student(folder):
        ways["student"] = [*hops, "student"]
    pictures, reports = reference.pictures(), []
    for shading, passed in ways.items():
        found = measure(pictures, draw(folder, reference, shading), reference.mouths)
        limits = chained([allowed.get(hop, {}) for hop in passed])
        reports.append(
            StageReport(f"all up to {passed[-1]}", "implicit", f"{shading} shading", found, limits)
        )
    return reports
