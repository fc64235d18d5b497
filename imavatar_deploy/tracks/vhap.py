"""Read and write VHAP's `tracked_flame_params*.npz` and GaussianAvatars' `flame_param/` folders.

The arrays are `rotation`, `neck_pose` and `jaw_pose` `[T, 3]`, `eyes_pose [T, 6]` and
`expr [T, 100]`, and optionally `translation [T, 3]`, `shape [300]`, `timestep_id`, `focal_length`
and `image_size`. The head model is FLAME 2023.

In addition to its rotation the head moves by `translation` (metres), which a FLAME track cannot
represent. With the camera of a video, the translation becomes part of the **camera**. This camera
is one metre in front of the head and looks along -Z; its focal length is a multiple of the longer
side of the image. Calibrated cameras are not in the file. In that case the translation is dropped,
and the head turns in place.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Shaped
from imavatar_deploy.camera import Camera
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.errors import InputError, UsageError

from .array_files import Dump, column, columns, dumps, files_of
from .assembly import camera_of, track_of
from .format import ForeignContentError, TrackFormat
from .track import FlameTrack

ORIGIN_IN_CAMERA = np.array([0.0, 0.0, -1.0])
"""Position of the origin in the coordinates of a video's camera, metres."""

MOTION_PREFIX = "tracked_flame_params"
"""Prefix of files with a whole motion.

A folder has one for every ten epochs of the tracking; the last is the result.
"""

POSE = {"rotation": 3, "neck_pose": 3, "jaw_pose": 3, "eyes_pose": 6}
"""Arrays of the pose, in the order of `FlameTrack.pose`, and their widths."""

ARRAYS = {
    *POSE,
    "edition",
    "expr",
    "focal_length",
    "fps",
    "image_size",
    "n_processed_frames",
    "shape",
    "timestep_id",
    "translation",
}
"""Arrays that `read` uses, and the number of frames."""

SHAPE_COUNT = 300
"""Shape coefficients in a file of VHAP."""

EXPRESSION_COUNT = 100
"""Expression coefficients in a file of VHAP."""

TOLERANCE = 1e-4
"""Tolerance for equal lenses and for the identity rotation."""


def read(path: Path) -> FlameTrack:
    """Read a `.npz` file of a whole motion, or a folder with one file per frame.

    Raises:
        InputError: a file is damaged, or an array is missing or has a wrong shape.
        ForeignContentError: a file is of another tracker.
    """
    sources, states = _dumps(path)
    cameras, notes = _cameras(sources)
    if len(states) > 1:
        notes.append(f"of {len(states)} states of one tracking the last is read, {states[-1].name}")
    edition = sources[0].words("edition")
    return track_of(
        column(sources, "expr", "E"),
        columns(sources, POSE),
        edition=(edition[0] or None) if edition else "flame2023",
        names=_names(sources),
        cameras=cameras,
        shape=sources[0].numbers("shape", "S") if "shape" in sources[0].values else None,
        fps=sources[0].rate(),
        notes=notes,
    )


def unread(path: Path) -> set[str]:
    """Return the names of the arrays that `read` ignores, such as `static_offset`.

    Raises:
        InputError: a file is damaged.
        ForeignContentError: a file is of another tracker.
    """
    sources, _ = _dumps(path)
    return set().union(*(dump.values for dump in sources)) - ARRAYS


def _dumps(path: Path) -> tuple[list[Dump], list[Path]]:
    """Read the files of one motion; also return the states of a tracking, the last of them read."""
    states = (
        []
        if path.is_file()
        else [
            file for file in files_of(path, FORMAT.suffixes) if file.name.startswith(MOTION_PREFIX)
        ]
    )
    sources = list(dumps(states[-1] if states else path, FORMAT.suffixes))
    if not all({"expr", "rotation"} <= set(dump.values) for dump in sources):
        raise ForeignContentError
    return sources, states


def _names(sources: list[Dump]) -> tuple[str, ...]:
    return (
        tuple(dump.name for dump in sources)
        if len(sources) > 1
        else sources[0].words("timestep_id")
    )


def _cameras(sources: list[Dump]) -> tuple[list[Camera], list[str]]:
    if not all("translation" in dump.values for dump in sources):
        return [], ["the place of the head is not in the file, so it turns in place"]
    translation = column(sources, "translation", 3)
    if "focal_length" not in sources[0].values:
        motion = np.abs(translation - translation.mean(axis=0)).max()
        note = (
            "the camera is not in the file, so the head turns in place: "
            f"it moved by up to {100 * motion:.1f} cm"
        )
        return [], [note] if motion else []
    focal = sources[0].number("focal_length")
    height, width = (
        sources[0].numbers("image_size", 2) if "image_size" in sources[0].values else (1.0, 1.0)
    )
    if min(height, width) <= 0:
        raise InputError(
            f"image_size of {sources[0].path.name} must be the height and width, "
            f"got {height}, {width}"
        )
    lens = (focal * max(height, width) / width, focal * max(height, width) / height, 0.5, 0.5)
    return [
        camera_of(sources[0].path.name, np.eye(3), ORIGIN_IN_CAMERA + row, lens)
        for row in translation
    ], []


def write(track: FlameTrack, path: Path) -> None:
    """Write a `.npz` in VHAP's schema, with `fps` and `edition` added.

    Raises:
        UsageError: the cameras rotate, zoom or have an off-centre principal point, which VHAP's
            schema cannot represent.
    """
    frames = len(track)
    parts = np.split(track.pose, np.cumsum(list(POSE.values()))[:-1], axis=1)
    arrays: dict[str, Any] = {
        **dict(zip(POSE, parts, strict=True)),
        "translation": np.zeros((frames, 3), dtype=np.float32),
        "expr": np.pad(
            track.expression, ((0, 0), (0, EXPRESSION_COUNT - track.expression.shape[1]))
        ),
        "shape": np.pad(track.shape, (0, max(0, SHAPE_COUNT - len(track.shape)))),
        "timestep_id": np.array(track.names),
        "n_processed_frames": np.array(frames),
        "fps": np.array(track.fps),
        "edition": np.array(track.edition or ""),
        **(_camera_arrays(track.cameras) if track.cameras else {}),
    }
    with path.open("wb") as file:
        np.savez(file, **arrays)


def _camera_arrays(cameras: tuple[Camera, ...]) -> dict[str, Shaped[Array, "..."]]:
    """Return the arrays of a file that describe the camera of a video."""
    matrices = np.stack([camera.world_to_camera for camera in cameras])
    lenses = np.stack([camera.intrinsics for camera in cameras])
    if np.abs(matrices[:, :, :3] - np.eye(3)).max() > TOLERANCE:
        raise UsageError("VHAP's files have no cameras that turn: give --turn-head or --no-cameras")
    if np.ptp(lenses, axis=0).max() > TOLERANCE or np.abs(lenses[:, 2:] - 0.5).max() > TOLERANCE:
        raise UsageError(
            "VHAP's files have one lens, centred on the image, and these cameras differ from that: "
            "give --no-cameras"
        )
    across, down = lenses[0, :2].tolist()
    sides = np.rint(np.array([across, down]) * 1024 / max(across, down)).astype(int)  # fx W = fy H
    return {
        "translation": matrices[:, :, 3] / UNITS_PER_METRE - ORIGIN_IN_CAMERA,
        "focal_length": np.array([min(across, down)], dtype=np.float32),
        "image_size": sides,
    }


FORMAT = TrackFormat(
    name="vhap",
    description=(
        "VHAP's tracked_flame_params or a motion of GaussianAvatars, or its folder flame_param"
    ),
    suffixes=(".npz",),
    read=read,
    write=write,
    unread=unread,
    folders=("flame_param",),
)
