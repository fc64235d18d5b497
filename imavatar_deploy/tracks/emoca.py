"""EMOCA's code dictionaries.

`expcode [50]`, `posecode [6]` (global, jaw), `shapecode [100]`: what its model returns. Its demos' folders are spelt as
DECA's.
"""

from __future__ import annotations

from pathlib import Path

from imavatar_deploy.tracks.codes import SUFFIXES, Spelling, read_codes
from imavatar_deploy.tracks.format import TrackFormat
from imavatar_deploy.tracks.track import FlameTrack

SPELLING = Spelling("expcode", "posecode", "shapecode")


def read(path: Path) -> FlameTrack:
    """Read a file or a folder; see `codes`.

    Raises:
        InputError: a file is damaged, lacks something, or is of another shape.
        ForeignContentError: they are spelt otherwise.
    """
    return read_codes(path, SPELLING)


FORMAT = TrackFormat(
    name="emoca",
    description="EMOCA's codes: expcode, posecode, shapecode",
    suffixes=SUFFIXES,
    read=read,
    folders=(),
)
