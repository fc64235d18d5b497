"""A ball beside an avatar's surface, as training leaves it where no camera looks."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

from imavatar_deploy.conventions import BOUNDING_RADIUS
from imavatar_deploy.model import HeadAvatarModel

V = TypeVar("V", bound=HeadAvatarModel)

STEPS = 200
RATE = 2e-3
FAR = 1024
"""Points a step in the whole bounding sphere."""

NEAR = 512
"""Points a step around the ball."""


def with_lump(model: V, centre: Sequence[float], radius: float) -> V:
    """A copy of `model` whose geometry network is trained to include a ball; canonical space."""
    lumpy = copy.deepcopy(model)
    middle = torch.tensor(centre)
    generator = torch.Generator().manual_seed(0)
    adam = torch.optim.Adam(lumpy.geometry.parameters(), lr=RATE)
    for step in range(STEPS):
        around = middle + radius * torch.randn(NEAR, 3, generator=generator)
        points = torch.cat([_in_sphere(FAR, generator), around])
        with torch.no_grad():
            ball = (points - middle).norm(dim=1) - radius
            target = torch.minimum(model.geometry(points).sdf, ball)
        loss = (lumpy.geometry(points).sdf - target).abs().mean()
        adam.zero_grad()
        torch.autograd.backward(loss)
        adam.param_groups[0]["lr"] = RATE * (1 - step / STEPS)
        adam.step()
    return lumpy.eval()


def _in_sphere(count: int, generator: torch.Generator) -> Tensor:
    """[count, 3] points, evenly distributed."""
    points = torch.randn(count, 3, generator=generator)
    reach = BOUNDING_RADIUS * torch.rand(count, 1, generator=generator) ** (1 / 3)
    return reach * torch.nn.functional.normalize(points, dim=1)
