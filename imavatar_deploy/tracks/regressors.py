"""Codes: what the regressors DECA, EMOCA and SMIRK return for an image, in whatever their users keep it.

None of the three has a file format for it. People keep the dictionary they get, a frame or a whole video at a time,
as `.npz`, `.npy`, `.pkl` or `.pt`; in a list; one file a frame in a folder; one folder a frame. FLAME 2020,
axis-angles, no neck. Their `cam` is of a crop that follows the face, scaled orthographic: no camera of a motion, and
left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.errors import InputError

from .array_files import READERS, Dump, column, dumps, files_of, folders_of, plain_array
from .assembly import eyelids, track_of
from .format import ForeignContentError, TrackFormat
from .track import FlameTrack

Float = NDArray[np.float32]

SUFFIXES = tuple(suffix for suffix in READERS if suffix != ".frame")
"""Whatever holds a dictionary."""

CAMERA = "cam"
"""What all three call it."""

CROP = "the camera of the crop is left out: the head turns in place"


@dataclass(frozen=True)
class Spelling:
    """What one regressor calls its outputs."""

    expression: str
    pose: str
    """[6] global and jaw, or [3] global where there is a `jaw`."""
    shape: str
    jaw: str | None = None
    eyelids: str | None = None

    @property
    def needed(self) -> set[str]:
        """Without these it is of another spelling."""
        return {self.expression, self.pose, *([self.jaw] if self.jaw else [])}

    @property
    def used(self) -> set[str]:
        """All that is looked at."""
        return {*self.needed, self.shape, CAMERA, *([self.eyelids] if self.eyelids else [])}


def codes_format(name: str, description: str, spelling: Spelling) -> TrackFormat:
    """The row of a regressor."""

    def read(path: Path) -> FlameTrack:
        return read_codes(path, spelling)

    return TrackFormat(name=name, description=description, suffixes=SUFFIXES, read=read, folders=())


def read_codes(path: Path, spelling: Spelling) -> FlameTrack:
    """Read a file or a folder.

    Raises:
        InputError: a file is damaged, lacks something, or is of another shape.
        ForeignContentError: they are spelt otherwise.
    """
    gather = _of_files if path.is_file() or files_of(path, SUFFIXES) else _of_folders
    found = list(gather(path, spelling))
    if not found:
        raise ForeignContentError
    expression = column(found, spelling.expression, "E")
    pose = np.zeros((len(expression), 15), dtype=np.float32)
    turned = column(found, spelling.pose, 3 if spelling.jaw else 6)
    jaw = column(found, spelling.jaw, 3) if spelling.jaw else turned[:, 3:]
    if not len(expression) == len(turned) == len(jaw):
        raise InputError(
            f"there are {len(expression)} expressions, {len(turned)} poses and {len(jaw)} jaws: one a frame"
        )
    pose[:, :3], pose[:, 6:9] = turned[:, :3], jaw
    return track_of(
        expression,
        pose,
        edition="flame2020",
        names=[dump.name for dump in found] if len(found) > 1 else (),
        shape=found[0].rows(spelling.shape, "S")[0] if spelling.shape in found[0].values else None,
        notes=[*([CROP] if CAMERA in found[0].values else []), *_lids(found, spelling)],
    )


def _lids(found: Sequence[Dump], spelling: Spelling) -> list[str]:
    known = spelling.eyelids and all(spelling.eyelids in dump.values for dump in found)
    return eyelids(column(found, str(spelling.eyelids), 2)) if known else []


def _of_files(path: Path, spelling: Spelling) -> Iterator[Dump]:
    for dump in dumps(path, SUFFIXES):
        if not spelling.needed <= set(dump.values):
            raise ForeignContentError
        yield dump.only(spelling.used)


def _of_folders(path: Path, spelling: Spelling) -> Iterator[Dump]:
    """One folder a frame: in it a file of the folder's name with everything, or a `.npy` for each array."""
    for folder in folders_of(path):
        files = files_of(folder, SUFFIXES)
        named = [file for file in files if file.stem == folder.name]
        if named:
            yield from _of_files(named[0], spelling)
        elif spelling.needed <= {file.stem for file in files}:
            wanted = [
                file
                for file in files
                if file.stem in spelling.needed | {spelling.shape} and file.suffix == ".npy"
            ]
            yield Dump(folder, {file.stem: plain_array(file) for file in wanted})


# DECA's code dictionaries, and EMOCA's folders.
#
# `exp [50]`, `pose [6]` (global, jaw), `shape [100]`, `cam [3]`: what `deca.encode` returns. EMOCA's demos write one
# folder a frame with `exp.npy`, `pose.npy` and `shape.npy`, which is the same spelling.


DECA = codes_format(
    "deca",
    "DECA's codes: exp, pose, shape (EMOCA's folders, too)",
    Spelling("exp", "pose", "shape"),
)


# EMOCA's code dictionaries.
#
# `expcode [50]`, `posecode [6]` (global, jaw), `shapecode [100]`: what its model returns. Its demos' folders are spelt as
# DECA's.


EMOCA = codes_format(
    "emoca",
    "EMOCA's codes: expcode, posecode, shapecode",
    Spelling("expcode", "posecode", "shapecode"),
)


# SMIRK's outputs.
#
# `expression_params [50]`, `pose_params [3]`, `jaw_params [3]`, `eyelid_params [2]`, `shape_params [300]`, `cam [3]`.


SMIRK = codes_format(
    "smirk",
    "SMIRK's outputs: expression_params, pose_params, jaw_params",
    Spelling("expression_params", "pose_params", "shape_params", "jaw_params", "eyelid_params"),
)
