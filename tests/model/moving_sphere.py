"""A small avatar: a sphere with small random blendshapes and skinning weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from imavatar_deploy.model import ImplicitAvatar, NetworkSizes
from imavatar_deploy.model.frame import Frame

from .conftest import SMALL, random_head


def moving_sphere(**sizes: Any) -> ImplicitAvatar:
    torch.manual_seed(4)
    defaults = SMALL | {"geometry_layers": (64,) * 4}
    avatar = ImplicitAvatar(
        random_head(np.random.default_rng(4)), NetworkSizes(**(defaults | sizes))
    ).eval()
    with torch.no_grad():
        avatar.deformation.blendshapes.weight.normal_(0.0, 0.01)
        avatar.deformation.skinning.weight.normal_(0.0, 0.02)
    return avatar


def calm() -> Frame:
    """Return a frame with moderate expression and pose."""
    generator = torch.Generator().manual_seed(5)
    return Frame(torch.rand(50, generator=generator), torch.randn(15, generator=generator) * 0.1)
