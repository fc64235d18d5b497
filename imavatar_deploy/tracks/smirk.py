"""SMIRK's outputs.

`expression_params [50]`, `pose_params [3]`, `jaw_params [3]`, `eyelid_params [2]`, `shape_params [300]`, `cam [3]`.
"""

from __future__ import annotations

from pathlib import Path

from imavatar_deploy.tracks.codes import SUFFIXES, Spelling, read_codes
from imavatar_deploy.tracks.format import TrackFormat
from imavatar_deploy.tracks.track import FlameTrack

SPELLING = Spelling("expression_params", "pose_params", "shape_params", "jaw_params", "eyelid_params")


def read(path: Path) -> FlameTrack:
    """Read a file or a folder; see `codes`.

    Raises:
        InputError: a file is damaged, lacks something, or is of another shape.
        ForeignContentError: they are spelt otherwise.
    """
    return read_codes(path, SPELLING)


FORMAT = TrackFormat(
    name="smirk",
    description="SMIRK's outputs: expression_params, pose_params, jaw_params",
    suffixes=SUFFIXES,
    read=read,
    folders=(),
)
