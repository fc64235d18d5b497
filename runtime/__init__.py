"""The runtime: plays an avatar folder without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .player import Player

__all__ = ["Player"]


def __getattr__(name: str) -> Any:
    """`Player` is imported when it is asked for, so that `imavatar-doctor` starts where numba or opencv is broken."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .player import Player

    return Player
