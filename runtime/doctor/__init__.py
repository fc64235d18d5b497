"""The doctor: every part that an installation may have, tried for real, each in a process of its own."""

from __future__ import annotations


def imavatar_doctor() -> None:
    """Run imavatar-doctor."""
    from imavatar_deploy.cli.command import start

    start("imavatar_deploy.runtime.doctor.command", "doctor")
