"""The console scripts of the exporters, which start without torch, if only to say who needs it."""

from __future__ import annotations

from imavatar_deploy.console import start


def export() -> None:
    """imavatar-export."""
    start("imavatar_deploy.exporters.commands", "export")


def bake() -> None:
    """imavatar-bake."""
    start("imavatar_deploy.exporters.bake_commands", "bake")
