"""The IMavatar networks in PyTorch: model variants, tracers, rendering and checkpoints."""

from __future__ import annotations

from imavatar_deploy.deprecation import renamed
from imavatar_deploy.optional import require

require("torch", extra="export")

from .checkpoint import load_checkpoint, load_variant, save_checkpoint  # noqa: E402
from .frame import Frame, RayBundle  # noqa: E402
from .head_avatar import HeadAvatarModel  # noqa: E402
from .implicit_avatar import ImplicitAvatar  # noqa: E402
from .render import render  # noqa: E402
from .sizes import NetworkSizes  # noqa: E402
from .variants import VARIANTS  # noqa: E402

__all__ = [
    "VARIANTS",
    "Frame",
    "HeadAvatarModel",
    "ImplicitAvatar",
    "NetworkSizes",
    "RayBundle",
    "load_checkpoint",
    "load_variant",
    "render",
    "save_checkpoint",
]

__getattr__ = renamed(
    __name__,
    {"Variant": ("HeadAvatarModel", HeadAvatarModel), "View": ("RayBundle", RayBundle)},
)
