"""The runtime: plays an avatar folder without torch, from a recording or as a tracker sends."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .live.api import drive, listen
    from .live.config import Choices
    from .player import Player
    from .sources.observation import Inbox, Observation

__all__ = ["Choices", "Inbox", "Observation", "Player", "drive", "listen"]

PLACES = {
    "Choices": ".live.config",
    "Inbox": ".sources.observation",
    "Observation": ".sources.observation",
    "Player": ".player",
    "drive": ".live.api",
    "listen": ".live.api",
}


def __getattr__(name: str) -> Any:
    """Each is imported when it is asked for, so that `imavatar-doctor` starts where numba or opencv is broken."""
    if name not in PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(PLACES[name], __name__), name)
