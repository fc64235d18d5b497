"""Read the `.frame` files of metrical-tracker and Pixel3DMM.

Both trackers save one frame per file with `torch.save`: FLAME parameters, of which rotations have
six numbers, a camera and the size of the image.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from imavatar_deploy.arrays import Array, Float32, Float64
from imavatar_deploy.camera import Camera
from imavatar_deploy.errors import InputError
from imavatar_deploy.kinematics import axis_angles_of_matrices, matrices_of_6d

from .array_files import Dump, dumps
from .assembly import NO_JAW, NO_JAW_NOTE, camera_of, eyelids, track_of
from .format import ForeignContentError, TrackFormat
from .track import FlameTrack

STATIC_HEAD_NOTE = (
    "the head stands still and the camera moves; imavatar-data convert --turn-head makes the head "
    "move instead"
)
"""Note of a track whose cameras include the motion of the head."""

PYTORCH3D_AXES = np.diag([-1.0, 1.0, -1.0])
"""Rotation from PyTorch3D's camera axes (+Z forward, +X left) to ours (-Z forward, +X right)."""

FLAME_2023 = "_FLAME23"
"""Part of the folder name of a Pixel3DMM tracking with FLAME 2023, which the files do not state."""


class TrackerFrame(NamedTuple):
    """One frame of a tracker."""

    name: str
    expression: Float32[Array, " n"]
    pose: Float32[Array, "15"]
    shape: Float32[Array, " S"]
    eyelids: Float32[Array, "2"]
    camera: Camera


def tracker_frame(dump: Dump, camera: Camera) -> TrackerFrame:
    """Return a frame from `flame{exp, jaw}`; `shape`, `eyes`, `neck` and `eyelids` are optional.

    Raises:
        InputError: a value is missing, has a wrong shape, is not finite, or is no rotation.
    """
    flame = dump.inside("flame")
    pose = np.zeros(15, dtype=np.float32)
    if "neck" in flame.values:
        pose[3:6] = _pose_part(flame, "neck", 1)
    pose[6:9] = _pose_part(flame, "jaw", 1)
    if "eyes" in flame.values:
        pose[9:] = _pose_part(flame, "eyes", 2)
    lids = (
        flame.numbers("eyelids", 2) if "eyelids" in flame.values else np.zeros(2, dtype=np.float32)
    )
    shape = (
        flame.numbers("shape", "S") if "shape" in flame.values else np.zeros(0, dtype=np.float32)
    )
    return TrackerFrame(dump.name, flame.numbers("exp", "E"), pose, shape, lids, camera)


def track_of_frames(
    frames: Sequence[TrackerFrame], edition: str | None, notes: Iterable[str]
) -> FlameTrack:
    """Return a track of frames.

    Raises:
        InputError: the frames differ in their number of expressions.
    """
    size = len(frames[0].expression)
    for frame in frames:
        if len(frame.expression) != size:
            raise InputError(
                f"frame {frame.name} has {len(frame.expression)} expressions and frame "
                f"{frames[0].name} {size}: are they of two trackings?"
            )
    return track_of(
        np.stack([frame.expression for frame in frames]),
        np.stack([frame.pose for frame in frames]),
        edition=edition,
        names=[frame.name for frame in frames],
        cameras=[frame.camera for frame in frames],
        shape=frames[0].shape,
        notes=[*notes, STATIC_HEAD_NOTE, *eyelids(np.stack([frame.eyelids for frame in frames]))],
    )


def image_size(dump: Dump) -> tuple[float, float]:
    """Return height and width of the images, pixels.

    Raises:
        InputError: one of them is not positive.
    """
    height, width = dump.numbers("img_size", 2).tolist()
    if min(height, width) < 1:
        raise InputError(
            f"img_size of {dump.path.name} must be the height and width in pixels, "
            f"got {height}, {width}"
        )
    return height, width


def rotation(dump: Dump, key: str) -> Float64[Array, "3 3"]:
    """Return a rotation matrix from six numbers.

    Raises:
        InputError: they are missing, or no rotation.
    """
    return matrices_of_6d(f"{key} of {dump.path.name}", dump.numbers(key, 6))


def _pose_part(flame: Dump, key: str, count: int) -> Float32[Array, " N"]:
    """Return the axis-angles `[3 * count]` of rotations of six numbers."""
    values = flame.numbers(key, 6 * count).reshape(count, 6)
    return axis_angles_of_matrices(matrices_of_6d(f"{key} of {flame.path.name}", values)).ravel()


# metrical-tracker (FLAME 2020)
#
# The keys are `flame{exp [1, 100], shape [1, 300], eyes [1, 12], eyelids [1, 2], jaw [1, 6]}`,
# `camera{R [1, 6], t [1, 3], fl [1, 1], pp [1, 2]}` and `img_size [2]` (height, width). The whole
# motion of the head is in the camera and remains there: the images equal those of the video up to
# rounding, and the global rotation is zero. `edit.with_head_turned` moves it into the head.


def read_metrical_tracker(path: Path) -> FlameTrack:
    """Read a `.frame` file, or all of a folder.

    Raises:
        InputError: a file is damaged, lacks a value, or holds an object other than arrays.
        ForeignContentError: a file is of another tracker.
    """
    return track_of_frames(
        [_metrical_frame(dump) for dump in dumps(path, METRICAL_TRACKER.suffixes)], "flame2020", []
    )


def _metrical_frame(dump: Dump) -> TrackerFrame:
    if not isinstance(dump.values.get("camera"), dict) or "R" not in dump.values["camera"]:
        raise ForeignContentError
    return tracker_frame(dump, _metrical_camera(dump))


def _metrical_camera(dump: Dump) -> Camera:
    """Return the camera.

    A row vector x is mapped to x R + t, then to the pixel `size / 2 (1 - fl x / z - pp)`, where
    size is the shorter side.
    """
    camera = dump.inside("camera")
    height, width = image_size(dump)
    across = min(height, width) / (2 * width)
    down = min(height, width) / (2 * height)
    (focal,) = camera.numbers("fl", 1)
    right, up = camera.numbers("pp", 2)
    lens = (focal * across, focal * down, 0.5 - right * across, 0.5 - up * down)
    translation = PYTORCH3D_AXES @ camera.numbers("t", 3)
    return camera_of(dump.path.name, PYTORCH3D_AXES @ rotation(camera, "R").T, translation, lens)


METRICAL_TRACKER = TrackFormat(
    name="metrical-tracker",
    description="metrical-tracker, a folder",
    suffixes=(".frame",),
    read=read_metrical_tracker,
    folders=("checkpoint",),
)


# Pixel3DMM (FLAME 2020, or FLAME 2023 without a jaw)
#
# The keys are `flame{exp, shape, eyes, eyelids, jaw, neck [1, 6], R [1, 6], t [1, 3]}`,
# `camera{R_base_0 [1, 3, 3], t_base_0 [1, 3], fl, pp}` and `img_size`. The camera is fixed. The
# head moves by R v + t about the origin, not about FLAME's root joint, so its motion becomes part
# of the camera, where it is exact.


def read_pixel3dmm(path: Path) -> FlameTrack:
    """Read a `.frame` file, or all of a folder.

    Raises:
        InputError: a file is damaged, lacks a value, or holds an object other than arrays.
        ForeignContentError: a file is of another tracker.
    """
    frames = [_pixel3dmm_frame(dump) for dump in dumps(path, PIXEL3DMM.suffixes)]
    if any(FLAME_2023 in part for part in path.absolute().parts):
        return track_of_frames(frames, NO_JAW, [NO_JAW_NOTE])
    return track_of_frames(frames, "flame2020", [])


def _pixel3dmm_frame(dump: Dump) -> TrackerFrame:
    if not isinstance(dump.values.get("camera"), dict) or "R_base_0" not in dump.values["camera"]:
        raise ForeignContentError
    return tracker_frame(dump, _pixel3dmm_camera(dump))


def _pixel3dmm_camera(dump: Dump) -> Camera:
    """Return the camera, which has +Y up; the image centre is off by half a pixel."""
    camera = dump.inside("camera")
    flame = dump.inside("flame")
    base = camera.numbers("R_base_0", 3, 3)
    offset = camera.numbers("t_base_0", 3)
    height, width = image_size(dump)
    (focal,) = camera.numbers("fl", 1)
    right, down = camera.numbers("pp", 2)
    middle = ((1 + right) * (width / 2 + 0.5) - 1) / width, (1 + down) * (height / 2 + 0.5) / height
    matrix = np.asarray(base @ rotation(flame, "R"))
    translation = base @ flame.numbers("t", 3) + offset
    return camera_of(dump.path.name, matrix, translation, (focal, focal, *middle))


PIXEL3DMM = TrackFormat(
    name="pixel3dmm",
    description="Pixel3DMM, a folder",
    suffixes=(".frame",),
    read=read_pixel3dmm,
    folders=("checkpoint",),
)
