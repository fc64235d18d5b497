"""Draw the reference frames from a baked avatar, and re-check a finished avatar folder.

The frames are drawn as the player draws them. torch is not needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Float32
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

from .held_out_frames import HELD_OUT, HELD_OUT_FILE, HeldOutFrames, read_held_out
from .reference_frames import REFERENCE_FILE, ReferenceFrames, read_reference
from .stage_metrics import (
    REFINED,
    TOLERANCES_FILE,
    FrameImages,
    StageReport,
    combine_limits,
    frame_images,
    measure,
    read_tolerances,
)

SAMPLES = 5
"""Samples of a pixel along each side in the comparison with held-out images; odd, so that no pixel
is half covered."""


def draw(
    folder: AvatarFolder,
    reference: ReferenceFrames | HeldOutFrames,
    shading: str,
    *,
    session: Any = None,
    animate: Any = None,
) -> list[FrameImages]:
    """Draw the frames of `reference` from a baked avatar.

    Args:
        shading: a row of `SHADINGS`.
        session: runs the texture network; ONNX Runtime on the CPU by default.
        animate: session that runs animate.onnx; the renderer's own posing by default.

    Returns:
        One element for each frame.
    """
    size = reference.size
    config = RenderConfig(folder, size, size, shading)
    if session is None and animate is None:
        renderer = open_cpu_renderer(config)
    else:
        posing = None if animate is None else _posed_by_graph(animate)
        renderer = CpuRenderer(config, Workers(), session, pose_surface=posing)
    frames = zip(reference.expression, reference.pose, reference.image_matrix, strict=True)
    with closing(renderer):
        return [frame_images(*renderer.buffers(*frame)) for frame in frames]


def _posed_by_graph(session: Any) -> PoseSurface:
    def pose_surface(
        expression: Float32[Array, " E"], pose: Float32[Array, "15"], stage_done: StageCallback
    ) -> PosedSurface:
        posed = run_graph(session, {"expression": expression[None], "pose": pose[None]})
        vertices, normals = (
            np.ascontiguousarray(posed[name][0].T) for name in PosedSurface._fields
        )
        return PosedSurface(vertices, normals)

    return pose_surface


def compare_shadings(folder: AvatarFolder) -> list[StageReport]:
    """Compare every shading that an avatar folder supports with its stored implicit renders.

    The limits of a shading are those of all its stages together (`stage_metrics.combine_limits`).
    A student that is refined on images has none there: it is compared with the held-out images in
    the folder, by the limits of the stage `refined`.

    Returns:
        One report for each shading, and one for a refined student; empty for a folder without
        implicit renders.

    Raises:
        InputError: the renders or tolerances cannot be read.
    """
    files = folder.manifest["files"]
    if REFERENCE_FILE not in files or TOLERANCES_FILE not in files:
        return []
    reference = read_reference(folder.file(REFERENCE_FILE))
    tolerances = read_tolerances(folder.file(TOLERANCES_FILE))
    has_network = "texture.onnx" in files
    stages = ["baked", *(["onnx"] if has_network else [])]
    stages_of_shading = {"pixel": stages} if has_network else {}
    if has_student(folder):
        stages_of_shading["student"] = [*stages, "student"]
    pictures = reference.pictures()
    reports = []
    for shading, passed in stages_of_shading.items():
        drawn = draw(folder, reference, shading)
        metrics = measure(pictures, drawn, reference.mouths, reference.left_out)
        limits = combine_limits([tolerances.get(stage, {}) for stage in passed])
        name = f"all up to {passed[-1]}"
        if shading == "student" and HELD_OUT_FILE in files:
            name, limits = "refined on images", {}
        reports.append(StageReport(name, "implicit", f"{shading} shading", metrics, limits))
    if HELD_OUT_FILE in files:
        held_out = read_held_out(folder.file(HELD_OUT_FILE))
        reports.append(compare_held_out(folder, held_out, tolerances.get(REFINED, {})))
    return reports


def compare_held_out(
    folder: AvatarFolder, held_out: HeldOutFrames, limits: Mapping[str, float]
) -> StageReport:
    """Compare the student of an avatar folder with held-out images.

    These are means over larger pictures, and so are the frames that they are compared with. Single
    samples of a sharp student would differ from means by more than those of a blurred one.
    """
    return held_out_report(held_out, draw_held_out(folder, held_out), limits)


def held_out_report(
    held_out: HeldOutFrames, drawn: list[FrameImages], limits: Mapping[str, float]
) -> StageReport:
    """Compare the result of `draw_held_out` with held-out images."""
    metrics = measure(held_out.pictures(), drawn, held_out.mouths)
    return StageReport(REFINED, HELD_OUT, REFINED, metrics, limits)


def draw_held_out(folder: AvatarFolder, held_out: HeldOutFrames) -> list[FrameImages]:
    """Draw frames with `SAMPLES` samples a pixel and side, and average those on the surface."""
    size = SAMPLES * held_out.size
    matrices = SAMPLES * held_out.image_matrix
    matrices += np.float32(0.5 * (SAMPLES - 1)) * held_out.image_matrix[:, 2:]
    matrices[:, 2] = held_out.image_matrix[:, 2]
    config = RenderConfig(folder, size, size, "student")
    frames = zip(held_out.expression, held_out.pose, matrices, strict=True)
    with closing(open_cpu_renderer(config)) as renderer:
        return [_mean(frame_images(*renderer.buffers(*frame))) for frame in frames]


def _mean(images: FrameImages) -> FrameImages:
    """Means over squares of `SAMPLES` pixels a side; most of them must show the surface."""

    def sums(values: Float32[Array, "H W ..."]) -> Float32[Array, "h w ..."]:
        height, width = (side // SAMPLES for side in values.shape[:2])
        squares = values.reshape(height, SAMPLES, width, SAMPLES, *values.shape[2:])
        return np.asarray(squares.sum(axis=(1, 3)), dtype=np.float32)

    weight = images.mask.astype(np.float32)
    count = sums(weight)
    rgb, normal = (
        sums(values * weight[..., None]) / np.maximum(count, 1.0)[..., None]
        for values in (images.rgb, images.normal)
    )
    mask = count > SAMPLES * SAMPLES / 2
    return frame_images(rgb, normal, mask)
