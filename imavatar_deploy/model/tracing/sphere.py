"""The sphere outside of which nothing is looked for: where rays enter and leave it."""

from __future__ import annotations

from typing import NamedTuple

import torch

from imavatar_deploy.conventions import BOUNDING_RADIUS
from imavatar_deploy.model.frame import View


class Crossing(NamedTuple):
    """Distances along rays, model units."""

    near: torch.Tensor  # [N]
    far: torch.Tensor  # [N]
    closest: torch.Tensor  # [N] where the ray comes nearest to the sphere's centre
    inside: torch.Tensor  # [N] bool: the ray meets the sphere in front of the camera


def cross(view: View, radius: float = BOUNDING_RADIUS) -> Crossing:
    """Where the rays of `view` enter and leave the sphere of `radius` about the origin; never behind the camera."""
    origin = view.origin.detach()
    closest = -(view.directions @ origin)
    squared = closest.square() - (origin @ origin - radius**2)
    half = squared.clamp(min=0.0).sqrt()
    near, far = (closest - half).clamp(min=0.0), (closest + half).clamp(min=0.0)
    return Crossing(near, far, closest, (squared > 0.0) & (far > near))
