"""The runtime: plays an avatar folder without torch."""

from .player import Player

__all__ = ["Player"]
