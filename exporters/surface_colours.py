"""Colours of the vertices in any pose, or of any surface points, by the network or a student."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from imavatar_deploy.arrays import Array, Float32, Integer
from imavatar_deploy.conventions import CONDITION_SIZE
from imavatar_deploy.kinematics import condition_of
from imavatar_deploy.model import ImplicitAvatar
from imavatar_deploy.model.surface.field import chunks
from imavatar_deploy.progress import Progress, silent
from imavatar_deploy.rendering.posing import pose_plainly, surface_normals
from imavatar_deploy.student import Student, colours_plainly

from .bake import Bake
from .skeleton import NEUTRAL_EXPRESSION, REST_POSE


def vertex_colours(
    source: ImplicitAvatar,
    bake: Bake,
    expression: Float32[Array, " E"] = NEUTRAL_EXPRESSION,
    pose: Float32[Array, "15"] = REST_POSE,
    *,
    student: Student | None = None,
) -> Float32[Array, "V 3"]:
    """Colours of the vertices, sRGB in 0..1, for an expression `[E]` and a pose `[15]`.

    They are those of a refined student where there is one, else of the full texture network.
    """
    normals = surface_normals(bake.avatar, pose_plainly(bake.avatar, expression, pose))
    condition = condition_of(expression, pose)[0]
    if student is not None:
        return colours_plainly(student, student.features, normals, condition[None])
    return point_colours(
        source,
        np.ascontiguousarray(bake.avatar.canonical.T),
        normals,
        feature=bake.feature,
        condition=condition,
    )


def student_colours_at(
    student: Student,
    corners: Integer[Array, "N 3"],
    weights: Float32[Array, "N 3"],
    normals: Float32[Array, "N 3"],
) -> Float32[Array, "N 3"]:
    """Colours of the neutral face by a student at points within faces, sRGB in 0..1.

    Args:
        student: the student.
        corners: the three vertices around each point.
        weights: barycentric coordinates of each point.
        normals: unit normals of the surface at rest.
    """
    neutral = np.zeros((1, CONDITION_SIZE), dtype=np.float32)
    colours = np.zeros((len(corners), 3), dtype=np.float32)
    for part in chunks(len(corners)):
        features = np.einsum("nk,nkh->nh", weights[part], student.features[corners[part]])
        colours[part] = colours_plainly(student, features, normals[part], neutral)
    return colours


def point_colours(
    source: ImplicitAvatar,
    canonical: Float32[Array, "N 3"],
    normals: Float32[Array, "N 3"],
    *,
    feature: Tensor | None = None,
    condition: Float32[Array, "53"] | None = None,
    progress: Progress = silent,
) -> Float32[Array, "N 3"]:
    """Colours of surface points, sRGB in 0..1.

    Args:
        source: the implicit avatar.
        canonical: points in canonical space, model units.
        normals: unit normals of the deformed surface.
        feature: `[N, 256]` features of the geometry network; computed when None.
        condition: expression and jaw; zero, the neutral face at rest, when None.
        progress: shows how far the work is.
    """
    if condition is None:
        condition = np.zeros(CONDITION_SIZE, dtype=np.float32)
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
