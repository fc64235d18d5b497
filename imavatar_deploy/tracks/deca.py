"""DECA's code dictionaries, and EMOCA's folders.

`exp [50]`, `pose [6]` (global, jaw), `shape [100]`, `cam [3]`: what `deca.encode` returns. EMOCA's demos write one
folder a frame with `exp.npy`, `pose.npy` and `shape.npy`, which is the same spelling.
"""

from __future__ import annotations

from pathlib import Path

from imavatar_deploy.tracks.codes import SUFFIXES, Spelling, read_codes
from imavatar_deploy.tracks.format import TrackFormat
from imavatar_deploy.tracks.track import FlameTrack

SPELLING = Spelling("exp", "pose", "shape")


def read(path: Path) -> FlameTrack:
    """Read a file or a folder; see `codes`.

    Raises:
        InputError: a file is damaged, lacks something, or is of another shape.
        ForeignContentError: they are spelt otherwise.
    """
    return read_codes(path, SPELLING)


FORMAT = TrackFormat(
    name="deca",
    description="DECA's codes: exp, pose, shape (EMOCA's folders, too)",
    suffixes=SUFFIXES,
    read=read,
    folders=(),
)
