"""One pass over a video: square pictures, landmarks, person masks and measures of every frame.

What is done is kept in a folder, in parts of a few seconds: pictures as files, measures as
`records/K.npz` where K is the number of the part's first frame. An interrupted pass continues
behind the last part, with the same result.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from imavatar_deploy.arrays import Array, Bool, Float32, Float64, Int64, UInt8
from imavatar_deploy.atomic import atomic_file
from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.head_fit.correspondences import LANDMARKS
from imavatar_deploy.progress import Progress, silent
from imavatar_deploy.untrusted.npz import read_npz
from imavatar_deploy.video.decode import DecodedFrame, VideoReader

from .crop import Crop, has_second_face
from .lookahead import WAITING
from .quality import PATCH, measure, unsteadiness
from .result import DroppedFrame

if TYPE_CHECKING:
    from imavatar_deploy.vision import FaceDetector, FaceTracker, LandmarkNetwork

SAVE_PERIOD = 5.0
"""Seconds of work between two parts on the disk."""

MAX_FPS = 25.0
"""Largest frame rate of a dataset by default: that of the published data."""

SECOND_FACE_STEP = 5
"""Frames between two searches for a further face."""

STEADINESS_STEP = 3
"""Frames between two measurements of how steady the landmarks are."""

SAME_PICTURE = 0.02
"""Mean difference of two pictures, in steps of 256, below which the second is a repetition."""

NO_FACE, REPEATED, DAMAGED = "no face", "repeated", "damaged"
"""Reasons to drop a frame that are known when it is read."""

PNG_SPEED = [cv2.IMWRITE_PNG_COMPRESSION, 1]

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

ARRAYS = tuple(DTYPES)

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


class _Rows:
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


def prepare(
    reader: VideoReader,
    crop: Crop,
    folder: Path,
    *,
    fps: float,
    tracker: FaceTracker,
    detector: FaceDetector,
    network: LandmarkNetwork,
    mask_of: MaskOf,
    landmarks: Float32[Array, "T L _"] | None = None,
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
        detector: finds further faces.
        network: reads landmarks again, to see whether they are steady.
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
    rows = _Rows()
    saved = clock()
    selection = FrameClock(fps, reader.info.fps)
    total = None if reader.info.duration is None else round(reader.info.duration * fps)
    with (
        ThreadPoolExecutor(1, "pictures") as pictures,
        progress(f"reading {reader.path.name}", total) as advance,
    ):
        face_pass = _FacePass(
            crop, folder, tracker, detector, network, mask_of, landmarks, pictures
        )
        resume_after = face_pass.continue_behind(parts)
        advance(done)
        for frame in reader.frames():
            if not selection.selects(frame.time) or frame.index <= resume_after:
                continue
            rows.add(face_pass.measured(frame))
            advance(1)
            if clock() - saved >= SAVE_PERIOD:
                parts.append(_store_part(rows, folder, done))
                done += len(rows)
                rows = _Rows()
                saved = clock()
    if len(rows):
        parts.append(_store_part(rows, folder, done))
    return _assembled(parts, folder)


class _FacePass:
    """Reads the face of one frame after the other and writes its pictures."""

    def __init__(
        self,
        crop: Crop,
        folder: Path,
        tracker: FaceTracker,
        detector: FaceDetector,
        network: LandmarkNetwork,
        mask_of: MaskOf,
        landmarks: Float32[Array, "T L _"] | None,
        pictures: Executor,
    ) -> None:
        self._crop = crop
        self._folder = folder
        self._tracker = tracker
        self._detector = detector
        self._network = network
        self._mask_of = mask_of
        self._landmarks = landmarks
        self._pictures = pictures
        self._points = LANDMARKS if landmarks is None else landmarks.shape[1]
        self._count = 0
        self._second = False
        self._unsteadiness = 0.0
        self._last: UInt8[Array, "S S 3"] | None = None
        """Picture of the last frame that was kept."""

    def continue_behind(self, parts: Sequence[Mapping[str, Any]]) -> int:
        """Restore the state behind the last frame of the parts, and return its number, or -1."""
        self._tracker.reset()
        if not parts:
            return -1
        rows = _joined(parts)
        self._count = len(rows["times"])
        self._second = bool(rows["second_faces"][-1])
        self._unsteadiness = float(rows["unsteadiness"][-1])
        kept = np.flatnonzero(rows["dropped"] == 0)
        lost = np.flatnonzero(rows["dropped"] == REASONS.index(NO_FACE))
        if len(kept):
            self._last = read_png(self._folder / "image" / f"{rows['source_frames'][kept[-1]]}.png")
            if self._landmarks is None and kept[-1] > lost.max(initial=-1):
                self._tracker.follow(rows["landmarks"][kept[-1]])
        return int(rows["source_frames"][-1])

    def measured(self, frame: DecodedFrame) -> dict[str, Any]:
        """Measure a frame and begin to write its pictures; the values of the arrays of a part.

        The share of the person is a future, which is done once the pictures are written.
        """
        self._count += 1
        row = self._empty_row(frame)
        if frame.damaged:
            return row | {"dropped": REASONS.index(DAMAGED)}
        image = self._crop.apply(frame.image())
        if self._last is not None and _difference(image, self._last) < SAME_PICTURE:
            return row | {"dropped": REASONS.index(REPEATED)}
        points, confidence = self._face(frame, image)
        if points is None:
            return row | {"dropped": REASONS.index(NO_FACE)}
        self._last = image
        if self._count % SECOND_FACE_STEP == 1:
            self._second = has_second_face(self._detector, image, points)
        if self._landmarks is None and self._count % STEADINESS_STEP == 1:
            self._unsteadiness = unsteadiness(self._network, image, points)
        share = self._pictures.submit(self._write_pictures, frame, image)
        quality = measure(image, points)
        return row | {
            "landmarks": points,
            "confidences": confidence,
            "sharpness": quality.sharpness,
            "brightness": quality.brightness,
            "mask_share": share,
            "second_faces": self._second,
            "unsteadiness": self._unsteadiness,
            "patches": quality.patch,
        }

    def _write_pictures(self, frame: DecodedFrame, image: UInt8[Array, "S S 3"]) -> float:
        """Write the picture and the mask of a frame; the share that shows the person."""
        mask = self._cut_at_border(self._mask_of(frame, image))
        write_png(self._folder / "image" / f"{frame.index}.png", image)
        write_png(self._folder / "mask" / f"{frame.index}.png", mask)
        return float((mask > 127).mean())

    def _empty_row(self, frame: DecodedFrame) -> dict[str, Any]:
        return {
            "source_frames": frame.index,
            "times": frame.time,
            "dropped": 0,
            "landmarks": np.zeros((self._points, 3), dtype=np.float32),
            "confidences": 0.0,
            "sharpness": 0.0,
            "brightness": 0.0,
            "mask_share": 0.0,
            "second_faces": self._second,
            "unsteadiness": self._unsteadiness,
            "patches": np.zeros((PATCH, PATCH, 3), dtype=np.uint8),
        }

    def _face(
        self, frame: DecodedFrame, image: UInt8[Array, "S S 3"]
    ) -> tuple[Float32[Array, "L 3"] | None, float]:
        """Landmarks in the square picture and their confidence."""
        if self._landmarks is None:
            face = self._tracker.track(image)
            return (None, 0.0) if face is None else (face.landmarks, face.confidence)
        if frame.index >= len(self._landmarks):
            return None, 0.0
        points = self._landmarks[frame.index]
        if not np.isfinite(points).all():
            return None, 0.0
        if points.shape[1] == 2:
            points = np.column_stack([points, np.zeros(len(points), dtype=np.float32)])
        return self._crop.points(points), 1.0

    def _cut_at_border(self, mask: Float32[Array, "S S"]) -> UInt8[Array, "S S"]:
        """The mask in 0..255, empty beyond the border of the video's picture."""
        left, top, right, bottom = self._crop.outside()
        cut = np.zeros(mask.shape, dtype=np.uint8)
        inside = np.s_[top : len(mask) - bottom, left : len(mask) - right]
        cut[inside] = np.round(255 * mask[inside].clip(0, 1))
        return cut


def _difference(one: UInt8[Array, "S S 3"], other: UInt8[Array, "S S 3"]) -> float:
    return float(cv2.norm(one, other, cv2.NORM_L1)) / one.size


# Parts on the disk


def _stored_parts(folder: Path) -> list[dict[str, Any]]:
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


def _store_part(rows: _Rows, folder: Path, first: int) -> dict[str, Any]:
    part = rows.arrays()
    path = folder / "records" / f"{first:07d}.npz"
    with atomic_file(path) as partial, partial.open("wb") as file:
        np.savez(file, **part)
    return part


def _joined(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {name: np.concatenate([part[name] for part in parts]) for name in ARRAYS}


def _assembled(parts: Sequence[Mapping[str, Any]], folder: Path) -> PreparedVideo:
    rows = _joined(parts)
    kept = rows["dropped"] == 0
    dropped = tuple(
        DroppedFrame(int(index), float(seconds), REASONS[reason])
        for index, seconds, reason in zip(
            rows["source_frames"][~kept], rows["times"][~kept], rows["dropped"][~kept], strict=True
        )
    )
    arrays = {name: rows[name][kept] for name in ARRAYS if name != "dropped"}
    return PreparedVideo(folder=folder, dropped=dropped, **arrays)
