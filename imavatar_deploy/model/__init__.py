"""The first floor (torch): the IMavatar networks, the forward map and checkpoints."""

from __future__ import annotations

from imavatar_deploy.optional import require

require("torch", extra="export")

from .checkpoint import load_checkpoint, save_checkpoint  # noqa: E402
from .implicit_avatar import ImplicitAvatar  # noqa: E402
from .sizes import NetworkSizes  # noqa: E402

__all__ = ["ImplicitAvatar", "NetworkSizes", "load_checkpoint", "save_checkpoint"]
