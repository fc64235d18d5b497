"""Colours of the vertices in any pose, or of any surface points, by the network or a student."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from imavatar_deploy.arrays import Array, Float32, Integer
from imavatar_deploy.kinematics import condition_of
from imavatar_deploy.model import ImplicitAvatar
from imavatar_deploy.model.surface.field import chunks
from imavatar_deploy.progress import Progress, silent
from imavatar_deploy.rendering.posing import pose_plainly, surface_normals
from imavatar_deploy.student import Student, colours_plainly

from .atlas import Atlas, bake_texture, surface_at
from .bake import Bake
from .formats.format import Source
from .formats.gltf.materials import Texture
from .formats.onnx_modules import BakedTexture
from .skeleton import NEUTRAL_CONDITION, NEUTRAL_EXPRESSION, REST_POSE
from .stored_avatar import StoredAvatar
from .student.colours import student_colours_at


def vertex_colours(
    source: Source,
    bake: Bake | StoredAvatar,
    expression: Float32[Array, " E"] = NEUTRAL_EXPRESSION,
    pose: Float32[Array, "15"] = REST_POSE,
    *,
    vertices: Integer[Array, " N"] | None = None,
    student: Student | None = None,
) -> Float32[Array, "N 3"]:
    """Colours of the vertices, sRGB in 0..1, for an expression `[E]` and a pose `[15]`.

    They are those of a refined student where there is one, else of the full texture network.

    Args:
        source: the implicit avatar, or an avatar folder.
        bake: its baked avatar.
        expression: the neutral one by default.
        pose: at rest by default.
        vertices: indices of the vertices; all of them when None.
        student: a refined student.
    """
    rows = np.arange(bake.avatar.vertex_count) if vertices is None else vertices
    posed = pose_plainly(bake.avatar, expression, pose)
    normals = surface_normals(bake.avatar, posed)[rows]
    condition = condition_of(expression, pose)[0]
    if student is not None:
        return colours_plainly(student, student.features[rows], normals, condition[None])
    corners = rows[:, None]
    ones = np.ones_like(corners, np.float32)
    if isinstance(bake, StoredAvatar):
        return bake.colours(corners, ones, normals, condition)
    colours = point_colours(
        _networks(source),
        np.ascontiguousarray(bake.avatar.canonical.T[rows]),
        normals,
        feature=bake.feature[torch.from_numpy(rows)],
        condition=condition,
    )
    return with_filled(_networks(source), bake, colours, corners, ones, normals, condition)


def _networks(source: Source) -> ImplicitAvatar:
    assert isinstance(source, ImplicitAvatar)  # an avatar folder is its own bake
    return source


def with_filled(
    source: ImplicitAvatar,
    bake: Bake,
    colours: Float32[Array, "N 3"],
    corners: Integer[Array, "N K"],
    weights: Float32[Array, "N K"],
    normals: Float32[Array, "N 3"],
    condition: Float32[Array, "53"] = NEUTRAL_CONDITION,
) -> Float32[Array, "N 3"]:
    """Colours of points of a baked mesh; around filled vertices, those of the filled codes.

    Args:
        source: the implicit avatar.
        bake: its baked avatar.
        colours: of the network at the points, sRGB in 0..1.
        corners: the vertices around each point.
        weights: barycentric coordinates of each point.
        normals: unit normals of the deformed surface.
        condition: expression and jaw; by default those of the neutral face at rest.
    """
    rows = np.flatnonzero(bake.by_code[corners].any(axis=1))
    if not len(rows):
        return colours
    code = np.einsum("nk,nkc->nc", weights[rows], bake.code.code[corners[rows]])
    network = BakedTexture(source.texture, bake.code.decode, bake.code.mean)
    device = source.canonical_pose.device
    codes, directions, conditions = (
        torch.from_numpy(array.astype(np.float32)).to(device)
        for array in (code, normals[rows], condition[None])
    )
    result = colours.copy()
    with torch.inference_mode():
        for part in chunks(len(rows)):
            result[rows[part]] = network(codes[part], directions[part], conditions).cpu().numpy()
    return result


def point_colours(
    source: ImplicitAvatar,
    canonical: Float32[Array, "N 3"],
    normals: Float32[Array, "N 3"],
    *,
    feature: Tensor | None = None,
    condition: Float32[Array, "53"] = NEUTRAL_CONDITION,
    progress: Progress = silent,
) -> Float32[Array, "N 3"]:
    """Colours of surface points, sRGB in 0..1.

    Args:
        source: the implicit avatar.
        canonical: points in canonical space, model units.
        normals: unit normals of the deformed surface.
        feature: `[N, 256]` features of the geometry network; computed when None.
        condition: expression and jaw; by default those of the neutral face at rest.
        progress: shows how far the work is.
    """
    device = source.canonical_pose.device
    points, directions, code = (
        torch.from_numpy(array).to(device) for array in (canonical, normals, condition)
    )
    colours = []
    with torch.inference_mode(), progress("colours", len(points)) as advance:
        for part in chunks(len(points)):
            x = points[part]
            features = source.geometry(x).feature if feature is None else feature[part]
            colours.append(source.texture(x, directions[part], code, features).cpu())
            advance(len(x))
    return torch.cat(colours).numpy()


def neutral_colours_at(
    source: Source,
    bake: Bake | StoredAvatar,
    corners: Integer[Array, "N 3"],
    weights: Float32[Array, "N 3"],
    progress: Progress = silent,
    *,
    student: Student | None = None,
) -> Float32[Array, "N 3"]:
    """Colours of the neutral face within faces, sRGB in 0..1; points as in `surface_at`.

    They are those of a refined student where there is one, else of the full texture network.
    """
    points, normals = surface_at(bake.avatar, corners, weights)
    if student is not None:
        return student_colours_at(student, corners, weights, normals)
    if isinstance(bake, StoredAvatar):
        return bake.colours(corners, weights, normals, NEUTRAL_CONDITION)
    colours = point_colours(_networks(source), points, normals, progress=progress)
    return with_filled(_networks(source), bake, colours, corners, weights, normals)


def posed_texture(
    source: Source,
    bake: Bake | StoredAvatar,
    atlas: Atlas,
    expression: Float32[Array, " E"],
    pose: Float32[Array, "15"],
    *,
    student: Student | None = None,
) -> Texture:
    """Bake the colours for an expression and a pose into an image.

    They are those of a refined student where there is one, else of the full texture network.
    """
    vertex_normals = surface_normals(bake.avatar, pose_plainly(bake.avatar, expression, pose))
    condition = condition_of(expression, pose)[0]

    def colours(
        corners: Integer[Array, "N 3"], weights: Float32[Array, "N 3"]
    ) -> Float32[Array, "N 3"]:
        points, normals = surface_at(bake.avatar, corners, weights, vertex_normals)
        if student is not None:
            return student_colours_at(student, corners, weights, normals, condition)
        if isinstance(bake, StoredAvatar):
            return bake.colours(corners, weights, normals, condition)
        network = point_colours(_networks(source), points, normals, condition=condition)
        return with_filled(_networks(source), bake, network, corners, weights, normals, condition)

    return atlas.bake(colours)


def neutral_texture(
    source: Source,
    bake: Bake | StoredAvatar,
    size: int,
    progress: Progress = silent,
    *,
    student: Student | None = None,
) -> Texture:
    """Bake the neutral face's colours into an image of `size` texels a side.

    They are those of a refined student where there is one, else of the full texture network.
    """

    def colours(
        corners: Integer[Array, "N 3"], weights: Float32[Array, "N 3"]
    ) -> Float32[Array, "N 3"]:
        return neutral_colours_at(source, bake, corners, weights, progress, student=student)

    return bake_texture(bake.avatar, colours, size, progress)
