"""The runtime: plays an avatar folder without torch, from a recording or from a live tracker."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from imavatar_deploy.deprecation import warn_renamed

if TYPE_CHECKING:
    from .live.api import listen, run_live
    from .live.config import LiveConfig
    from .player import Player
    from .sources.observation import Inbox, Observation

__all__ = ["Inbox", "LiveConfig", "Observation", "Player", "listen", "run_live"]

PLACES = {
    "LiveConfig": ".live.config",
    "Inbox": ".sources.observation",
    "Observation": ".sources.observation",
    "Player": ".player",
    "run_live": ".live.api",
    "listen": ".live.api",
}
"""The module of each public name."""

DEPRECATED = {"Choices": "LiveConfig", "drive": "run_live"}
"""Names of version 0.1, with what replaces them; removed in version 0.3."""


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `imavatar-doctor` starts where numba is broken."""
    if name in DEPRECATED:
        warn_renamed(f"{__name__}.{name}", DEPRECATED[name])
        name = DEPRECATED[name]
    if name not in PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(PLACES[name], __name__), name)
