"""The doctor: tests every part of an installation by using it, each in a process of its own."""

from __future__ import annotations


def imavatar_doctor() -> None:
    """Run imavatar-doctor."""
    from imavatar_deploy.cli.command import start

    start("imavatar_deploy.runtime.doctor.command", "doctor")
