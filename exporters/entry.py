"""The console script of the exporters, which starts without torch, if only to say that it needs it."""

from __future__ import annotations

from imavatar_deploy.console import start


def export() -> None:
    """imavatar-export."""
    start("imavatar_deploy.exporters.commands", "export")
