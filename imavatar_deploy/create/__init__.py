"""`imavatar-create`: from a video to a playing avatar, by the other commands, one after another.

plan      minutes for each stage, and the preset that fits into the time
options   options that a late stage would refuse, checked before the first one
stages    the table of stages: their commands, outputs and settings
work      the work folder: which stages are done, for which inputs
runner    runs a stage as a subprocess; interruption and failure
pictures  the clip beside the avatar
report    one page about all stages
command   the command itself
"""

from __future__ import annotations


def imavatar_create() -> None:
    """Run imavatar-create."""
    from imavatar_deploy.cli.command import start  # loads click, which the library does not

    start("imavatar_deploy.create.command", "create")
