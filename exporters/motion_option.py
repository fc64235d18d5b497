"""--track: a motion for the formats that can hold one."""

from __future__ import annotations

import click

from imavatar_deploy.option_groups import OptionGroup
from imavatar_deploy.tracks import FlameTrack, read_track

from .format_option import FormatOption


def _read(track: str | None) -> FlameTrack | None:
    motion = None if track is None else read_track(track)
    for note in motion.notes if motion else ():
        click.echo(note, err=True)
    return motion


GROUP = OptionGroup(
    "track",
    "Motion",
    (
        FormatOption(
            "--track",
            formats=("glb", "usd", "usdz"),
            help="A motion (a track, file or folder, or the word talk) that glb, usd and usdz hold as a clip.",
        ),
    ),
    _read,
)
