"""The console scripts of the training room, which start without torch, if only to say that they need it."""

from __future__ import annotations

from imavatar_deploy.console import start


def data() -> None:
    """imavatar-data."""
    start("imavatar_deploy.training.data_commands", "data")


def train() -> None:
    """imavatar-train."""
    start("imavatar_deploy.training.train_commands", "train")


def eval() -> None:
    """imavatar-eval."""
    start("imavatar_deploy.training.eval_commands", "evaluate")
