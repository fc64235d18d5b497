"""A first look at a video: where its faces are, in some of its frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from imavatar_deploy.arrays import Array, Float32, Float64, UInt8
from imavatar_deploy.errors import InputError
from imavatar_deploy.progress import Progress, silent
from imavatar_deploy.video.decode import VideoReader

from .quality import face_height, flat_share

if TYPE_CHECKING:
    from imavatar_deploy.vision import FaceDetector, FaceTracker

SURVEY_STEP = 5
"""The first look reads every fifth frame..."""
MAX_LOOKS = 600
"""...and at most so many frames."""

COUNT_STEP = 10
"""Looks between two searches for further faces."""

SECOND_FACE = 0.4
"""Smallest size of the detector's box around a further face, in heights of the tracked one."""

ABOVE, BELOW, BESIDE = 1.05, 1.2, 0.95
"""Extent of head and shoulders around the middle of the face, in heights of the face."""

DRAWN = 0.7
"""Share of a face in three flat colours from which it is a drawing."""


@dataclass(frozen=True, eq=False)
class Survey:
    """Faces of a video, looked at in some of its frames."""

    frames: int
    """Number of frames of the video."""
    duration: float
    """Seconds from the first frame to the last."""
    width: int
    height: int
    times: Float64[Array, " N"]
    """Seconds of the looks at which there is a face."""
    regions: Float64[Array, "N 4"]
    """Left, top, right and bottom of head and shoulders at these looks, pixels of the video."""
    faces: Float64[Array, " N"]
    """Heights of the faces, pixels."""
    looks: int
    """Number of frames that were looked at."""
    second_faces: Float64[Array, " M"]
    """Seconds at which a second face of a similar size was seen."""

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON-ready values."""
        return {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in vars(self).items()
        }

    @classmethod
    def of_dict(cls, values: Mapping[str, Any]) -> Survey:
        """The survey of the values of `as_dict`."""
        arrays = ("times", "regions", "faces", "second_faces")
        return cls(**{**values, **{name: np.array(values[name], float) for name in arrays}})


def survey(
    reader: VideoReader,
    tracker: FaceTracker,
    detector: FaceDetector,
    *,
    landmarks: Float32[Array, "T L _"] | None = None,
    progress: Progress = silent,
) -> Survey:
    """Look at every fifth frame of a video.

    Args:
        reader: the open video.
        tracker: follows the face.
        detector: finds further faces.
        landmarks: landmarks of every frame, where they are known.
        progress: shows the progress.

    Raises:
        InputError: no face is seen, the face is drawn, or the video is damaged.
    """
    tracker.reset()
    step = max(SURVEY_STEP, (reader.info.frames or 0) // MAX_LOOKS)
    times: list[float] = []
    regions: list[Float64[Array, "4"]] = []
    second: list[float] = []
    flat: list[float] = []
    count = looks = 0
    end = 0.0
    with progress(f"looking at {reader.path.name}", reader.info.frames) as advance:
        for frame in reader.frames():
            count, end = frame.index + 1, frame.time
            advance(1)
            if frame.index % step or frame.damaged:
                continue
            looks += 1
            if landmarks is not None:
                points = landmarks[frame.index] if frame.index < len(landmarks) else None
                if points is None or not np.isfinite(points).all():
                    continue
            else:
                image = frame.image()
                face = tracker.track(image)
                if face is None:
                    continue
                points = face.landmarks
                if looks % COUNT_STEP == 1:
                    flat.append(flat_share(image, points))
                    if has_second_face(detector, image, points):
                        second.append(frame.time)
            times.append(frame.time)
            regions.append(_region(points))
    if not times:
        raise InputError(
            f"{reader.path} shows no face: expected a video of a real person who looks at the "
            "camera, lit from the front"
        )
    if flat and float(np.median(flat)) > DRAWN:
        raise InputError(
            f"{reader.path} shows a drawn face ({np.median(flat):.0%} of it are three flat "
            "colours): expected a video of a real person"
        )
    boxes = np.array(regions)
    return Survey(
        frames=count,
        duration=end,
        width=reader.info.width,
        height=reader.info.height,
        times=np.array(times),
        regions=boxes,
        faces=(boxes[:, 3] - boxes[:, 1]) / (ABOVE + BELOW),
        looks=looks,
        second_faces=np.array(second),
    )


def _region(points: Float32[Array, "L _"]) -> Float64[Array, "4"]:
    """Left, top, right and bottom of head and shoulders around a face."""
    size = face_height(points)
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    column = (low[0] + high[0]) / 2
    row = float(high[1]) - size / 2
    return np.array(
        [column - BESIDE * size, row - ABOVE * size, column + BESIDE * size, row + BELOW * size],
        dtype=np.float64,
    )


def has_second_face(
    detector: FaceDetector, image: UInt8[Array, "H W 3"], points: Float32[Array, "L _"]
) -> bool:
    """Whether an image has another face that is not much smaller than the tracked one."""
    size = face_height(points)
    centre = points[:, :2].mean(axis=0)
    for face in detector.detect(image):
        apart = float(np.linalg.norm((face.box[:2] + face.box[2:]) / 2 - centre))
        if apart > 0.6 * size and face.box[3] - face.box[1] > SECOND_FACE * size:
            return True
    return False
