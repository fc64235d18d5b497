"""Console scripts of training. They start without torch, so that a missing package is named."""

from __future__ import annotations

from imavatar_deploy.cli.command import start


def imavatar_data() -> None:
    """Run imavatar-data."""
    start("imavatar_deploy.training.commands.data", "data")


def imavatar_train() -> None:
    """Run imavatar-train."""
    start("imavatar_deploy.training.commands.train", "train")


def imavatar_eval() -> None:
    """Run imavatar-eval."""
    start("imavatar_deploy.training.commands.eval", "evaluate")
