"""The doctor: every part that an installation may have, tried for real, each in a process of its own."""

from __future__ import annotations


def doctor() -> None:
    """imavatar-doctor."""
    from imavatar_deploy.console import start  # a checkup does without it

    start("imavatar_deploy.runtime.doctor.command", "doctor")
