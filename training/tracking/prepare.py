"""One pass over a video: square pictures, landmarks, person masks and measures of every frame.

What is done is kept in a folder, in parts of a few seconds: pictures as files, measures as
`records/K.npz` where K is the number of the part's first frame. An interrupted pass continues
behind the last part, with the same result.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from imavatar_deploy.arrays import Array, Float32, UInt8
from imavatar_deploy.head_fit.correspondences import LANDMARKS
from imavatar_deploy.progress import Progress, silent
from imavatar_deploy.video.decode import DecodedFrame, VideoReader

from .crop import Crop
from .prepared_video import (
    DAMAGED,
    NO_FACE,
    REASONS,
    REPEATED,
    FrameRows,
    PreparedVideo,
    assembled,
    joined,
    read_png,
    store_part,
    stored_parts,
    write_png,
)
from .quality import PATCH, STEADINESS_STEP, measure, unsteadiness
from .survey import has_second_face

if TYPE_CHECKING:
    from imavatar_deploy.vision import FaceDetector, FaceTracker, LandmarkNetwork

SAVE_PERIOD = 5.0
"""Seconds of work between two parts on the disk."""

MAX_FPS = 25.0
"""Largest frame rate of a dataset by default: that of the published data."""

SECOND_FACE_STEP = 5
"""Frames between two searches for a further face."""

SAME_PICTURE = 0.02
"""Mean difference of two pictures, in steps of 256, below which the second is a repetition."""

MaskOf = Callable[[DecodedFrame, UInt8[Array, "S S 3"]], Float32[Array, "S S"]]
"""Returns the mask of the person in a square picture, 0..1."""


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
    parts = stored_parts(folder)
    done = sum(len(part["times"]) for part in parts)
    rows = FrameRows()
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
                parts.append(store_part(rows, folder, done))
                done += len(rows)
                rows = FrameRows()
                saved = clock()
    if len(rows):
        parts.append(store_part(rows, folder, done))
    return assembled(parts, folder)


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
        rows = joined(parts)
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
