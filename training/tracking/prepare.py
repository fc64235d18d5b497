"""One pass over a video: square pictures, landmarks, person masks and measures of every frame.

What is done is kept in a folder, in parts of a few seconds: pictures as files, measures as
`records/K.npz` where K is the number of the part's first frame. An interrupted pass continues
behind the last part, with the same result.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from imavatar_deploy.arrays import Array, Bool, Float32, Float64, Int64, UInt8
from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.progress import Progress, silent
from imavatar_deploy.untrusted.npz import read_npz

from .crop import Crop, other_faces
from .decode import DecodedFrame, VideoReader
from .quality import PATCH, measure
from .result import DroppedFrame

if TYPE_CHECKING:
    from imavatar_deploy.vision import FaceTracker

SAVE_PERIOD = 5.0
"""Seconds of work between two parts on the disk."""

MAX_FPS = 25.0
"""Largest frame rate of a dataset by default: that of the published data."""

SECOND_FACE_STEP = 5
"""Frames between two searches for a further face."""

SAME_PICTURE = 0.35
"""Mean difference of two pictures, in steps of 256, up to which the second is a repetition."""

NO_FACE, REPEATED, DAMAGED = "no face", "repeated", "damaged"
"""Reasons to drop a frame that are known when it is read."""

PNG_SPEED = [cv2.IMWRITE_PNG_COMPRESSION, 1]

ARRAYS = (
    "source_frames", "times", "dropped", "landmarks", "confidences", "sharpness", "brightness",
    "mask_share", "second_faces", "patches",
)  # fmt: skip
"""Arrays of a part."""

REASONS = ("", NO_FACE, REPEATED, DAMAGED)
"""Reason of each number in `dropped`."""

MaskOf = Callable[[DecodedFrame, UInt8[Array, "S S 3"]], Float32[Array, "S S"]]
"""Returns the mask of the person in a square picture, 0..1."""


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
    patches: UInt8[Array, "T 24 24 3"]
    dropped: tuple[DroppedFrame, ...]

    def __len__(self) -> int:
        return len(self.times)

    def image(self, index: int) -> UInt8[Array, "S S 3"]:
        """Read the picture of frame `index`, counted from 0."""
        path = self.folder / "image" / f"{self.source_frames[index]}.png"
        return np.ascontiguousarray(_read(path, cv2.IMREAD_COLOR)[..., ::-1])

    def mask(self, index: int) -> UInt8[Array, "S S"]:
        """Read the mask of frame `index`, 0..255."""
        path = self.folder / "mask" / f"{self.source_frames[index]}.png"
        return _read(path, cv2.IMREAD_GRAYSCALE)


def _read(path: Path, flag: int) -> Any:
    picture = cv2.imread(str(path), flag)
    if picture is None:
        raise InputError(
            f"{path} of the interrupted work cannot be read; remove the folder "
            f"{path.parents[2]} and track the video again"
        )
    return picture


def write_png(path: Path, picture: UInt8[Array, "H W ..."]) -> None:
    """Write an RGB or grey picture.

    Raises:
        UsageError: it cannot be written.
    """
    swapped = picture[..., ::-1] if picture.ndim == 3 else picture
    if not cv2.imwrite(str(path), np.ascontiguousarray(swapped), PNG_SPEED):
        raise UsageError(f"{path} cannot be written; is the disk full?")


# Which frames


class FrameClock:
    """Selects frames of a video for a lower, even frame rate: those next to its ticks.

    Args:
        fps: frames a second to select.
        source_fps: average of the video.
    """

    def __init__(self, fps: float, source_fps: float) -> None:
        self._fps = fps
        self._half = 0.5 / max(source_fps, fps)
        self._tick = 0

    def selects(self, seconds: float) -> bool:
        """Whether the frame at this time is the one next to a tick; times must not fall."""
        ticks = int(np.floor((seconds + self._half) * self._fps + 1e-6))
        if ticks < self._tick:
            return False
        self._tick = ticks + 1
        return True


def frame_rate(
    source_fps: float, duration: float, *, fps: float | None, frames: int | None
) -> float:
    """Frame rate of the dataset.

    Args:
        source_fps: frames a second of the video.
        duration: seconds of the video.
        fps: the option `--fps`.
        frames: largest number of frames, the option `--frames`.
    """
    rate = min(source_fps, fps or MAX_FPS)
    if frames is not None and rate * duration + 1 > frames:
        rate = max(frames - 1, 1) / max(duration, 1e-3)
    return rate


# The pass


@dataclass(eq=False)
class _Rows:
    """Measures of frames, one list for each array of a part."""

    values: dict[str, list[Any]] = field(
        default_factory=lambda: {name: [] for name in ARRAYS}
    )

    def __len__(self) -> int:
        return len(self.values["times"])

    def add(self, **row: Any) -> None:
        for name, value in row.items():
            self.values[name].append(value)


def prepare(
    reader: VideoReader,
    crop: Crop,
    folder: Path,
    *,
    fps: float,
    tracker: FaceTracker,
    mask_of: MaskOf,
    landmarks: Float32[Array, "T L 2+"] | None = None,
    progress: Progress = silent,
    clock: Callable[[], float] = time.monotonic,
) -> PreparedVideo:
    """Read a video and write its square pictures, masks and measures into `folder`.

    Args:
        reader: the open video.
        crop: the square to keep.
        folder: earlier parts in it are continued.
        fps: frames a second to keep.
        tracker: follows the face in the square pictures.
        mask_of: returns the mask of the person.
        landmarks: landmarks of every frame of the video, pixels of its picture; NaN for none.
        progress: shows the progress.
        clock: seconds, for the parts.

    Raises:
        InputError: the video is damaged.
        UsageError: the folder cannot be written.
    """
    for kind in ("image", "mask", "records"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    parts = _stored_parts(folder)
    done = sum(len(part["times"]) for part in parts)
    resume_after = int(parts[-1]["source_frames"][-1]) if parts else -1
    work = _Pass(reader, crop, folder, tracker, mask_of, landmarks)
    if parts:
        work.continue_after(parts[-1], resume_after)
    rows = _Rows()
    saved = clock()
    selection = FrameClock(fps, reader.info.fps)
    total = None if reader.info.duration is None else round(reader.info.duration * fps)
    with progress(f"reading {reader.path.name}", total) as advance:
        advance(done)
        for frame in reader.frames():
            if not selection.selects(frame.time) or frame.index <= resume_after:
                continue
            work.add(frame, rows)
            advance(1)
            if clock() - saved >= SAVE_PERIOD:
                parts.append(_store_part(rows, folder, done))
                done += len(rows)
                rows = _Rows()
                saved = clock()
    if len(rows):
        parts.append(_store_part(rows, folder, done))
    return _assemble(parts, folder)


class _Pass:
    """Reads the face of one frame after the other."""

    def __init__(
        self,
        reader: VideoReader,
        crop: Crop,
        folder: Path,
        tracker: FaceTracker,
        mask_of: MaskOf,
        landmarks: Float32[Array, "T L 2+"] | None,
    ) -> None:
        self._reader = reader
        self._crop = crop
        self._folder = folder
        self._tracker = tracker
        self._mask_of = mask_of
        self._landmarks = landmarks
        self._previous: UInt8[Array, "S S 3"] | None = None
        self._count = 0
        self._second = False
        tracker.reset()

    def continue_after(self, part: Mapping[str, Any], source: int) -> None:
        """Restore the state after the last frame of a part."""
        self._count = int(part["counts"])
        self._second = bool(part["second"])
        last = self._folder / "image" / f"{source}.png"
        seen = np.flatnonzero(part["dropped"] == 0)
        if part["dropped"][-1] == 0:
            self._tracker.follow(part["landmarks"][-1])
            self._previous = np.ascontiguousarray(_read(last, cv2.IMREAD_COLOR)[..., ::-1])
        del seen

    def add(self, frame: DecodedFrame, rows: _Rows) -> None:
        """Measure a frame and write its pictures."""
