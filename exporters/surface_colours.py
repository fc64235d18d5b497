"""Colours by the whole texture network: of the vertices in any pose, or of any points of the neutral face at rest."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imavatar_deploy.conventions import CONDITION_SIZE
from imavatar_deploy.kinematics import condition_of
from imavatar_deploy.model import ImplicitAvatar
from imavatar_deploy.model.surface.field import chunks
from imavatar_deploy.progress import Progress, silent
from imavatar_deploy.rendering.posing import pose_plainly, surface_normals

from .bake import Bake
from .skeleton import AT_REST, NEUTRAL

Float = NDArray[np.float32]


def vertex_colours(
    source: ImplicitAvatar, bake: Bake, expression: Float = NEUTRAL, pose: Float = AT_REST
) -> Float:
    """[V, 3] sRGB in 0..1 for an expression `[50]` and a pose `[15]`."""
    normals = surface_normals(bake.avatar, pose_plainly(bake.avatar, expression, pose))
    condition = condition_of(expression, pose)[0]
    return point_colours(
        source,
        np.ascontiguousarray(bake.avatar.canonical.T),
        normals,
        feature=bake.feature,
        condition=condition,
    )


def point_colours(
    source: ImplicitAvatar,
    canonical: Float,
    normals: Float,
    *,
    feature: Tensor | None = None,
    condition: Float | None = None,
    progress: Progress = silent,
) -> Float:
    """[N, 3] sRGB in 0..1.

    Args:
        canonical: `[N, 3]` points, model units.
        normals: `[N, 3]` unit normals of the deformed surface.
        feature: `[N, 256]` of the geometry network, asked for where it is not given.
        condition: `[53]` expression and jaw; zero for the neutral face at rest.
    """
    device = source.canonical_pose.device
    points, turned = torch.from_numpy(canonical).to(device), torch.from_numpy(normals).to(device)
    told = torch.zeros(CONDITION_SIZE) if condition is None else torch.from_numpy(condition)
    colours = []
    with torch.inference_mode(), progress("colours", len(points)) as advance:
        for part in chunks(len(points)):
            known = source.geometry(points[part]).feature if feature is None else feature[part]
            colours.append(source.texture(points[part], turned[part], told.to(device), known).cpu())
            advance(len(known))
    return torch.cat(colours).numpy()
