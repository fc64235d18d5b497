"""Console scripts of the runtime; each imports its command when it starts."""

from __future__ import annotations

from imavatar_deploy.cli.command import start


def imavatar_run() -> None:
    """Run imavatar-run."""
    start("imavatar_deploy.runtime.commands.run", "run")


def imavatar_send() -> None:
    """Run imavatar-send."""
    start("imavatar_deploy.runtime.commands.send", "send")


def imavatar_verify() -> None:
    """Run imavatar-verify."""
    start("imavatar_deploy.runtime.commands.verify", "verify")


def imavatar_bench() -> None:
    """Run imavatar-bench."""
    start("imavatar_deploy.runtime.bench.command", "bench")
