"""The first floor (torch): the IMavatar networks, the forward map and checkpoints."""

from __future__ import annotations

from imavatar_deploy.optional import require

require("torch", extra="export")

from .checkpoint import checkpoint_sha256, load_checkpoint, save_checkpoint  # noqa: E402
from .deformation import Deformation  # noqa: E402
from .geometry import Geometry  # noqa: E402
from .implicit_avatar import ImplicitAvatar  # noqa: E402
from .sizes import NetworkSizes  # noqa: E402

__all__ = [
    "Deformation",
    "Geometry",
    "ImplicitAvatar",
    "NetworkSizes",
    "checkpoint_sha256",
    "load_checkpoint",
    "save_checkpoint",
]
