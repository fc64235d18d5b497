"""TrackResult: what tracking a video has measured, kept beside the dataset for the report.

It is stored as `track.npz` (arrays) and `track.json` (all else) in the folder of the video.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from imavatar_deploy.arrays import Array, Float32, Float64, Int64
from imavatar_deploy.atomic import atomic_file, write_text
from imavatar_deploy.errors import InputError
from imavatar_deploy.untrusted.npz import read_npz

if TYPE_CHECKING:
    from imavatar_deploy.head_fit.sequence_fit import SequenceFit

ARRAYS_FILE = "track.npz"
ABOUT_FILE = "track.json"

VERSION = 1
"""Version of the two files."""

OWN_ARRAYS = (
    "times", "source_frames", "landmarks", "confidences", "intrinsics", "brightness", "sharpness",
    "mask_share",
)  # fmt: skip
"""Fields of `TrackResult` in `track.npz`."""

FIT_ARRAYS = (
    "shape", "expression", "pose", "translation", "errors", "point_errors", "weights", "offsets",
)  # fmt: skip
"""Fields of `SequenceFit` in `track.npz`, where their names begin with `fit_`."""

OWN_VALUES = ("video", "size", "fps", "names", "focal_source", "notes", "edition")
"""Fields of `TrackResult` in `track.json`."""


@dataclass(frozen=True)
class DroppedFrame:
    """A frame of the video that is not in the dataset."""

    index: int
    """Number of the frame in the video, from 0."""
    time: float
    """Seconds since the first frame."""
    reason: str
    """Such as `no face`, `blurred`, `occluded`, `turned away` or `two faces`."""


@dataclass(frozen=True, eq=False)
class TrackResult:
    """A tracked video: T frames of a dataset and their measures.

    Images and landmarks are those of the square pictures in `folder / "image"`.
    """

    folder: Path
    """Folder of the video in the published layout."""
    video: str
    """Name of the video file, without folders."""
    size: int
    """Side of the pictures, pixels."""
    fps: float
    """Frames a second of the dataset; single frames may be left out."""
    times: Float64[Array, " T"]
    """Seconds since the first frame of the video."""
    names: tuple[str, ...]
    """Names of the pictures, without the suffix."""
    source_frames: Int64[Array, " T"]
    """Numbers of the frames in the video, from 0."""
    landmarks: Float32[Array, "T L 3"]
    """Column, row and depth in pixels of the pictures; L is 478, or 68."""
    confidences: Float32[Array, " T"]
    """Confidence of the landmarks, 0..1."""
    fit: SequenceFit
    """The head in every frame."""
    intrinsics: Float32[Array, "4"]
    """fx, fy, cx, cy as fractions of the side."""
    focal_source: str
    """Where the focal length comes from: `EXIF`, `--focal`, `default` or `track`."""
    dropped: tuple[DroppedFrame, ...]
    brightness: Float32[Array, " T"]
    """Mean brightness of the face, 0..1."""
    sharpness: Float32[Array, " T"]
    """Variance of the Laplacian in the face, relative to the video's median."""
    mask_share: Float32[Array, " T"]
    """Share of the picture that shows the person, 0..1."""
    notes: tuple[str, ...]
    """What was assumed or changed, one sentence each."""
    edition: str
    """Edition of the head model."""

    def __len__(self) -> int:
        return len(self.times)

    def image_path(self, index: int) -> Path:
        """Path of the picture of frame `index`, counted from 0."""
        return self.folder / "image" / f"{self.names[index]}.png"

    def save(self) -> None:
        """Write `track.npz` and `track.json` into the folder.

        Raises:
            UsageError: the folder cannot be written.
        """
        arrays: dict[str, Any] = {name: getattr(self, name) for name in OWN_ARRAYS}
        arrays |= {f"fit_{name}": getattr(self.fit, name) for name in FIT_ARRAYS}
        with atomic_file(self.folder / ARRAYS_FILE) as partial, partial.open("wb") as file:
            np.savez_compressed(file, **arrays)
        about = {"version": VERSION} | {name: getattr(self, name) for name in OWN_VALUES}
        about["dropped"] = [asdict(frame) for frame in self.dropped]
        write_text(self.folder / ABOUT_FILE, json.dumps(about, indent=1) + "\n")

    @classmethod
    def load(cls, folder: str | Path) -> TrackResult:
        """Read the result of a folder that `imavatar-data track` wrote.

        Raises:
            InputError: the folder has no result, or it cannot be read.
        """
        from imavatar_deploy.head_fit.sequence_fit import SequenceFit

        folder = Path(folder)
        about = _read_about(folder)
        path = folder / ARRAYS_FILE
        names = (*OWN_ARRAYS, *(f"fit_{name}" for name in FIT_ARRAYS))
        try:
            stored = read_npz(path, names)
            own = {name: stored[name] for name in OWN_ARRAYS}
            fitted = {name: stored[f"fit_{name}"] for name in FIT_ARRAYS}
            values = {name: about[name] for name in OWN_VALUES}
            dropped = tuple(DroppedFrame(**frame) for frame in about["dropped"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path} is not a readable result of tracking ({error}); track the video again"
            ) from error
        values |= {name: tuple(values[name]) for name in ("names", "notes")}
        return cls(folder=folder, fit=SequenceFit(**fitted), dropped=dropped, **own, **values)


def _read_about(folder: Path) -> dict[str, Any]:
    path = folder / ABOUT_FILE
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"{folder} has no {ABOUT_FILE}: expected a folder that `imavatar-data track` wrote"
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); track the video again") from error
    if not isinstance(about, dict) or about.get("version") != VERSION:
        raise InputError(
            f"{path} is not of version {VERSION}, which is read here; track the video again"
        )
    return about
