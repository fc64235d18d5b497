"""Read the codes that the regressors DECA, EMOCA and SMIRK return for images.

None of the three defines a file format. Users store the dictionary of a frame or of a whole video
as `.npz`, `.npy`, `.pkl` or `.pt`: alone, in a list, in one file per frame or in one folder per
frame. The head model is FLAME 2020; rotations are axis-angles, without a neck. The arrays are:

    DECA    exp [50], pose [6] (global, jaw), shape [100], cam [3]: what `deca.encode` returns.
            EMOCA's demos write exp.npy, pose.npy and shape.npy in one folder per frame.
    EMOCA   expcode [50], posecode [6] (global, jaw), shapecode [100]: what its model returns.
    SMIRK   expression_params [50], pose_params [3], jaw_params [3], eyelid_params [2],
            shape_params [300], cam [3].

Two trackers refine such codes and write the same kind of dictionary:

    flame-head-tracker  exp [100], head_pose [3], jaw_pose [3], eye_pose [6], shape [300], cam [6];
                        before its version 3 DECA's names and eye_pose.
    GAGAvatar_track     EMOCA's names and eyecode [6], a dictionary for every frame in one file.

`cam` is the camera of a crop that follows the face. It is not the camera of the motion, and is left
out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imavatar_deploy.errors import InputError

from .array_files import (
    READERS,
    Dump,
    column,
    dumps,
    files_of,
    folders_of,
    of_one,
    plain_array,
)
from .assembly import eyelids, track_of
from .format import ForeignContentError, TrackFormat
from .track import FlameTrack

SUFFIXES = tuple(suffix for suffix in READERS if suffix != ".frame")
"""Suffixes of files that can hold a dictionary."""

ALONE = (".json",)
"""Suffixes of files that are not among those of a folder: they hold settings or landmarks there."""

FOLDER_SUFFIXES = tuple(suffix for suffix in SUFFIXES if suffix not in ALONE)
"""Suffixes of the files of a folder."""

CAMERA = "cam"
"""Name of the camera in all of them."""

FPS = "fps"
"""Name that users give to frames a second; no tracker writes it."""

CROP_NOTE = "the camera of the crop is left out: the head turns in place"


@dataclass(frozen=True)
class ArrayNames:
    """Names of the arrays of one regressor."""

    expression: str
    pose: str
    """[6] global and jaw, or [3] global if `jaw` is not None."""
    shape: str
    jaw: str | None = None
    eyelids: str | None = None
    eyes: str | None = None
    """[6] left and right eye."""
    neck: str | None = None

    @property
    def required(self) -> set[str]:
        """Names that identify the regressor."""
        return {self.expression, self.pose, *([self.jaw] if self.jaw else [])}

    @property
    def used(self) -> set[str]:
        """Names of all arrays that are read."""
        optional = (self.eyelids, self.eyes, self.neck)
        return {*self.required, self.shape, FPS, *(name for name in optional if name)}


def codes_format(name: str, description: str, names: ArrayNames) -> TrackFormat:
    """Return the format of a regressor."""

    def read(path: Path) -> FlameTrack:
        return read_codes(path, names)

    return TrackFormat(
        name=name,
        description=description,
        suffixes=SUFFIXES,
        read=read,
        folders=(),
        alone=ALONE,
    )


def read_codes(path: Path, names: ArrayNames) -> FlameTrack:
    """Read a file or a folder of codes.

    Raises:
        InputError: a file is damaged, or an array is missing or has a wrong shape.
        ForeignContentError: the required arrays are missing.
    """
    gather = _of_files if path.is_file() or files_of(path, FOLDER_SUFFIXES) else _of_folders
    sources = list(gather(path, names))
    if not sources:
        raise ForeignContentError
    expression = column(sources, names.expression, "E")
    pose = np.zeros((len(expression), 15), dtype=np.float32)
    rotation = column(sources, names.pose, 3 if names.jaw else 6)
    jaw = column(sources, names.jaw, 3) if names.jaw else rotation[:, 3:]
    if not len(expression) == len(rotation) == len(jaw):
        raise InputError(
            f"there are {len(expression)} expressions, {len(rotation)} poses and {len(jaw)} jaws, "
            "expected one of each per frame"
        )
    pose[:, :3] = rotation[:, :3]
    pose[:, 6:9] = jaw
    for part, name, width in ((slice(3, 6), names.neck, 3), (slice(9, 15), names.eyes, 6)):
        if name and all(name in dump.values for dump in sources):
            rows = column(sources, name, width)
            if len(rows) != len(pose):
                raise InputError(
                    f"{name} has {len(rows)} frames and {names.expression} {len(pose)}"
                )
            pose[:, part] = rows
    return track_of(
        expression,
        pose,
        edition="flame2020",
        names=[dump.name for dump in sources] if len(sources) > 1 else (),
        shape=sources[0].rows(names.shape, "S")[0] if names.shape in sources[0].values else None,
        fps=sources[0].rate(FPS),
        notes=[*([CROP_NOTE] if CAMERA in sources[0].values else []), *_lids(sources, names)],
    )


def _lids(sources: Sequence[Dump], names: ArrayNames) -> list[str]:
    known = names.eyelids and all(names.eyelids in dump.values for dump in sources)
    return eyelids(column(sources, str(names.eyelids), 2)) if known else []


def _of_files(path: Path, names: ArrayNames) -> Iterator[Dump]:
    for dump in dumps(path, SUFFIXES if path.is_file() else FOLDER_SUFFIXES):
        if not names.required <= set(dump.values):
            raise ForeignContentError
        kept = dump.only(names.used)
        camera = {CAMERA: None} if CAMERA in dump.values else {}  # its presence is noted
        yield Dump(kept.path, {**kept.values, **camera}, kept.frame)


def _of_folders(path: Path, names: ArrayNames) -> Iterator[Dump]:
    """Read one folder per frame: a file of the folder's name, or a `.npy` file per array."""
    for folder in of_one(folders_of(path)):
        files = files_of(folder, FOLDER_SUFFIXES)
        named = [file for file in files if file.stem == folder.name]
        if named:
            yield from _of_files(named[0], names)
        elif names.required <= {file.stem for file in files}:
            arrays = [
                file
                for file in files
                if file.stem in names.required | {names.shape} and file.suffix == ".npy"
            ]
            yield Dump(folder, {file.stem: plain_array(file) for file in arrays})


# The regressors


DECA = codes_format(
    "deca",
    "DECA's codes: exp, pose, shape (EMOCA's folders, too)",
    ArrayNames("exp", "pose", "shape", eyes="eye_pose"),
)

EMOCA = codes_format(
    "emoca",
    "EMOCA's codes: expcode, posecode, shapecode",
    ArrayNames("expcode", "posecode", "shapecode", eyes="eyecode"),
)

SMIRK = codes_format(
    "smirk",
    "SMIRK's outputs: expression_params, pose_params, jaw_params",
    ArrayNames("expression_params", "pose_params", "shape_params", "jaw_params", "eyelid_params"),
)

FLAME_HEAD_TRACKER = codes_format(
    "flame-head-tracker",
    "flame-head-tracker's results: exp, head_pose, jaw_pose",
    ArrayNames("exp", "head_pose", "shape", "jaw_pose", eyes="eye_pose", neck="neck_pose"),
)
