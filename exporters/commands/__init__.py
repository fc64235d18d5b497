"""Console scripts of the exporters, which start without torch and name missing packages."""

from __future__ import annotations

from imavatar_deploy.cli.command import start


def imavatar_export() -> None:
    """Run imavatar-export."""
    start("imavatar_deploy.exporters.commands.export", "export")


def imavatar_bake() -> None:
    """Run imavatar-bake."""
    start("imavatar_deploy.exporters.commands.bake", "bake")
