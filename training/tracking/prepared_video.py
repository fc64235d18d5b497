"""`PreparedVideo`: pictures and measures of the frames of a video, in a folder of the work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from imavatar_deploy.arrays import Array, Bool, Float32, Float64, Int64, UInt8
from imavatar_deploy.atomic import atomic_file
from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.untrusted.npz import read_npz

from .lookahead import WAITING
from .result import DroppedFrame

NO_FACE, REPEATED, DAMAGED = "no face", "repeated", "damaged"
"""Reasons to drop a frame that are known when it is read."""

DTYPES: dict[str, Any] = {
    "source_frames": np.int64,
    "times": np.float64,
    "dropped": np.int64,
    "landmarks": np.float32,
    "confidences": np.float32,
    "sharpness": np.float32,
    "brightness": np.float32,
    "mask_share": np.float32,
    "second_faces": np.bool_,
    "unsteadiness": np.float32,
    "patches": np.uint8,
}
"""Arrays of a part and their types; each has one row for a frame."""

PNG_SPEED = [cv2.IMWRITE_PNG_COMPRESSION, 1]

ARRAYS = tuple(DTYPES)

REASONS = ("", NO_FACE, REPEATED, DAMAGED)
"""Reason of each number in `dropped`."""


@dataclass(frozen=True, eq=False)
class PreparedVideo:
    """The frames of a video that show a face, and the others as dropped."""

    folder: Path
    """Folder with `image/N.png` and `mask/N.png`; N is the number of the frame in the video."""
    source_frames: Int64[Array, " T"]
    times: Float64[Array, " T"]
    landmarks: Float32[Array, "T L 3"]
    """Pixels of the square pictures."""
    confidences: Float32[Array, " T"]
    sharpness: Float32[Array, " T"]
    """Variance of the Laplacian of the face."""
    brightness: Float32[Array, " T"]
    mask_share: Float32[Array, " T"]
    second_faces: Bool[Array, " T"]
    unsteadiness: Float32[Array, " T"]
    """Disagreement of the landmarks of slightly different crops, see `quality.unsteadiness`."""
    patches: UInt8[Array, "T 24 24 3"]
    dropped: tuple[DroppedFrame, ...]

    def __len__(self) -> int:
        return len(self.times)

    def image(self, index: int) -> UInt8[Array, "S S 3"]:
        """Read the picture of frame `index`, counted from 0."""
        path = self.folder / "image" / f"{self.source_frames[index]}.png"
        return read_png(path)

    def mask(self, index: int) -> UInt8[Array, "S S"]:
        """Read the mask of frame `index`, 0..255."""
        path = self.folder / "mask" / f"{self.source_frames[index]}.png"
        return np.asarray(_read(path, cv2.IMREAD_GRAYSCALE))


# Pictures


def read_png(path: Path) -> UInt8[Array, "S S 3"]:
    """Read a picture of the work so far as RGB.

    Raises:
        InputError: it cannot be read.
    """
    return np.ascontiguousarray(_read(path, cv2.IMREAD_COLOR)[..., ::-1])


def _read(path: Path, flag: int) -> Any:
    picture = cv2.imread(str(path), flag)
    if picture is None:
        raise InputError(
            f"{path} of the interrupted work cannot be read; remove the folder "
            f"{path.parents[2]} and track the video again"
        )
    return picture


def write_png(path: Path, picture: UInt8[Array, "H W ..."]) -> None:
    """Write an RGB or grey picture, which appears complete or not at all.

    Raises:
        UsageError: it cannot be written.
    """
    swapped = picture[..., ::-1] if picture.ndim == 3 else picture
    _, content = cv2.imencode(".png", np.ascontiguousarray(swapped), PNG_SPEED)
    # Of the same name in every run, so that none is left of a run that was killed.
    partial = path.with_suffix(".partial")
    try:
        partial.write_bytes(content.tobytes())
        partial.replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror or error})") from error


# Measures


class FrameRows:
    """Measures of frames, one list for each array of a part."""

    def __init__(self) -> None:
        self.values: dict[str, list[Any]] = {name: [] for name in ARRAYS}

    def __len__(self) -> int:
        return len(self.values["times"])

    def add(self, row: Mapping[str, Any]) -> None:
        """Add the measures of a frame, some of which may still be computed."""
        for name, value in row.items():
            self.values[name].append(value)
        if len(self) > WAITING:  # no more pictures than these wait in memory
            self._wait(len(self) - 1 - WAITING)

    def arrays(self) -> dict[str, Any]:
        """Wait for all measures and return them as arrays."""
        for at in range(max(len(self) - 1 - WAITING, 0), len(self)):
            self._wait(at)
        return {name: np.array(values, dtype=DTYPES[name]) for name, values in self.values.items()}

    def _wait(self, at: int) -> None:
        for values in self.values.values():
            if isinstance(values[at], Future):
                values[at] = values[at].result()


# Parts on the disk


def stored_parts(folder: Path) -> list[dict[str, Any]]:
    """The parts of an interrupted pass, in order, up to the first that is missing or damaged."""
    parts: list[dict[str, Any]] = []
    count = 0
    while (path := folder / "records" / f"{count:07d}.npz").is_file():
        try:
            part = {name: value for name, value in read_npz(path, ARRAYS).items()}
            size = len(part["times"])
        except (OSError, ValueError, KeyError):
            break
        if not size or any(len(part[name]) != size for name in ARRAYS):
            break
        parts.append(part)
        count += size
    return parts


def store_part(rows: FrameRows, folder: Path, first: int) -> dict[str, Any]:
    """Write measures as the part whose first frame is `first`, and return them."""
    part = rows.arrays()
    path = folder / "records" / f"{first:07d}.npz"
    with atomic_file(path) as partial, partial.open("wb") as file:
        np.savez(file, **part)
    return part


def joined(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The arrays of all parts."""
    return {name: np.concatenate([part[name] for part in parts]) for name in ARRAYS}


def assembled(parts: Sequence[Mapping[str, Any]], folder: Path) -> PreparedVideo:
    """The video whose measures are in these parts, and whose pictures are in `folder`."""
    rows = joined(parts)
    kept = rows["dropped"] == 0
    dropped = tuple(
        DroppedFrame(int(index), float(seconds), REASONS[reason])
        for index, seconds, reason in zip(
            rows["source_frames"][~kept], rows["times"][~kept], rows["dropped"][~kept], strict=True
        )
    )
    arrays = {name: rows[name][kept] for name in ARRAYS if name != "dropped"}
    return PreparedVideo(folder=folder, dropped=dropped, **arrays)
