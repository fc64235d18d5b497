"""Colours of the neutral face at rest by the whole texture network: of vertices, or of any points of the surface."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imavatar_deploy.animation.animate import pose_plainly
from imavatar_deploy.animation.normals import surface_normals
from imavatar_deploy.conventions import CONDITION_SIZE, POSE_SIZE
from imavatar_deploy.model import ImplicitAvatar
from imavatar_deploy.model.surface.chunks import chunks
from imavatar_deploy.progress import Progress, silent

from .bake import Bake

Float = NDArray[np.float32]


def rest_normals(bake: Bake) -> Float:
    """[V, 3] unit normals of the neutral face at rest, the jaw closed."""
    avatar = bake.avatar
    neutral = np.zeros(avatar.expression_size, dtype=np.float32)
    return surface_normals(avatar, pose_plainly(avatar, neutral, np.zeros(POSE_SIZE, dtype=np.float32)))


def vertex_colours(source: ImplicitAvatar, bake: Bake) -> Float:
    """[V, 3] sRGB in 0..1."""
    return point_colours(source, np.ascontiguousarray(bake.avatar.canonical.T), rest_normals(bake), bake.feature)


def point_colours(
    source: ImplicitAvatar,
    canonical: Float,
    normals: Float,
    feature: Tensor | None = None,
    progress: Progress = silent,
) -> Float:
    """[N, 3] sRGB in 0..1 of the neutral face at rest.

    Args:
        canonical: `[N, 3]` points, model units.
        normals: `[N, 3]` unit normals at rest.
        feature: `[N, 256]` of the geometry network, asked for where it is not given.
    """
    device = source.canonical_pose.device
    points, turned = torch.from_numpy(canonical).to(device), torch.from_numpy(normals).to(device)
    condition = torch.zeros(CONDITION_SIZE, device=device)
    colours = []
    with torch.inference_mode(), progress("colours", len(points)) as advance:
        for part in chunks(len(points)):
            known = source.geometry(points[part]).feature if feature is None else feature[part]
            colours.append(source.texture(points[part], turned[part], condition, known).cpu())
            advance(len(known))
    return torch.cat(colours).numpy()
