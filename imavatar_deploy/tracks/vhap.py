"""VHAP's `tracked_flame_params*.npz` and GaussianAvatars' motions and `flame_param/` folders; read and written.

`rotation translation neck_pose jaw_pose [T, 3]`, `eyes_pose [T, 6]`, `expr [T, 100]`, `shape [300]`, and perhaps
`timestep_id`, `focal_length`, `image_size`. FLAME 2023. A head of VHAP's moves by `translation` metres besides
turning, which a FLAME track cannot say: it goes into the **camera** where one is known. A video's is: one metre in
front, looking along -Z, its focal length a multiple of the longer side. Of calibrated cameras the file says nothing, so
there the translation is dropped and the head turns in place.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.camera import Camera
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.errors import InputError, UsageError

from .array_files import Dump, column, columns, dumps, files_of
from .assembly import camera_of, track_of
from .format import ForeignContentError, TrackFormat
from .track import DEFAULT_FPS, FlameTrack

Float = NDArray[np.float32]

AWAY = np.array([0.0, 0.0, -1.0])
"""Where the origin is, seen from a video's camera, metres."""

RUNNING = "tracked_flame_params"
"""How the whole motion's files begin: a folder holds one for every ten epochs, of which the last is the one."""

POSE = {"rotation": 3, "neck_pose": 3, "jaw_pose": 3, "eyes_pose": 6}
"""The arrays that make our pose, in its order, and how many numbers each has."""

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
"""Everything that `read` takes from a file, and the number of its frames."""

SHAPES, EXPRESSIONS = 300, 100
"""Coefficients that VHAP expects of a file."""

SAME = 1e-4
"""How nearly lenses must agree to be one, and rotations to be none."""


def read(path: Path) -> FlameTrack:
    """Read a `.npz` of a whole motion, or a folder of one frame each.

    Raises:
        InputError: a file is damaged, lacks something, or is of another shape.
        ForeignContentError: it is of another tracker.
    """
    found, states = _dumps(path)
    cameras, notes = _cameras(found)
    if len(states) > 1:
        notes.append(f"of {len(states)} states of one tracking the last is read, {states[-1].name}")
    edition = found[0].words("edition")
    return track_of(
        column(found, "expr", "E"),
        columns(found, POSE),
        edition=(edition[0] or None) if edition else "flame2023",
        names=_names(found),
        cameras=cameras,
        shape=found[0].numbers("shape", "S"),
        fps=found[0].number("fps") if "fps" in found[0].values else DEFAULT_FPS,
        notes=notes,
    )


def unread(path: Path) -> set[str]:
    """Names of the arrays that `read` skips, such as `static_offset`.

    Raises:
        InputError: a file is damaged.
        ForeignContentError: it is of another tracker.
    """
    found, _ = _dumps(path)
    return set().union(*(dump.values for dump in found)) - ARRAYS


def _dumps(path: Path) -> tuple[list[Dump], list[Path]]:
    """The files of one motion, and the states of a whole tracking; the last state is the motion."""
    states = (
        []
        if path.is_file()
        else [file for file in files_of(path, FORMAT.suffixes) if file.name.startswith(RUNNING)]
    )
    found = list(dumps(states[-1] if states else path, FORMAT.suffixes))
    if not all({"expr", "rotation"} <= set(dump.values) for dump in found):
        raise ForeignContentError
    return found, states


def _names(found: list[Dump]) -> tuple[str, ...]:
    return tuple(dump.name for dump in found) if len(found) > 1 else found[0].words("timestep_id")


def _cameras(found: list[Dump]) -> tuple[list[Camera], list[str]]:
    moved = column(found, "translation", 3)
    if "focal_length" not in found[0].values:
        lost = np.abs(moved - moved.mean(axis=0)).max()
        note = f"the camera is not in the file, so the head turns in place: it moved by up to {100 * lost:.1f} cm"
        return [], [note] if lost else []
    focal = found[0].number("focal_length")
    height, width = (
        found[0].numbers("image_size", 2) if "image_size" in found[0].values else (1.0, 1.0)
    )
    if min(height, width) <= 0:
        raise InputError(
            f"image_size of {found[0].path.name} must be the height and width, got {height}, {width}"
        )
    lens = (focal * max(height, width) / width, focal * max(height, width) / height, 0.5, 0.5)
    return [camera_of(found[0].path.name, np.eye(3), AWAY + row, lens) for row in moved], []


def write(track: FlameTrack, path: Path) -> None:
    """Write a `.npz` as VHAP does, with `fps` and `edition` of our own beside what it has.

    Raises:
        UsageError: the cameras turn or zoom, or look past the middle, for which VHAP has no words.
    """
    frames = len(track)
    parts = np.split(track.pose, np.cumsum(list(POSE.values()))[:-1], axis=1)
    arrays: dict[str, Any] = {
        **dict(zip(POSE, parts, strict=True)),
        "translation": np.zeros((frames, 3), dtype=np.float32),
        "expr": np.pad(track.expression, ((0, 0), (0, EXPRESSIONS - track.expression.shape[1]))),
        "shape": np.pad(track.shape, (0, max(0, SHAPES - len(track.shape)))),
        "timestep_id": np.array(track.names),
        "n_processed_frames": np.array(frames),
        "fps": np.array(track.fps),
        "edition": np.array(track.edition or ""),
        **(_placed(track.cameras) if track.cameras else {}),
    }
    with path.open("wb") as file:
        np.savez(file, **arrays)


def _placed(cameras: tuple[Camera, ...]) -> dict[str, NDArray[Any]]:
    """What of a `.npz` says where the head is in a video's picture."""
    turns = np.stack([camera.world_to_camera for camera in cameras])
    lenses = np.stack([camera.intrinsics for camera in cameras])
    if np.abs(turns[:, :, :3] - np.eye(3)).max() > SAME:
        raise UsageError("VHAP has no cameras that turn: give --turn-head or --no-cameras")
    if np.ptp(lenses, axis=0).max() > SAME or np.abs(lenses[:, 2:] - 0.5).max() > SAME:
        raise UsageError(
            "VHAP has one lens, which looks at the picture's middle, and these differ: give --no-cameras"
        )
    across, down = lenses[0, :2].tolist()
    sides = np.rint(np.array([across, down]) * 1024 / max(across, down)).astype(int)  # fx W = fy H
    return {
        "translation": turns[:, :, 3] / UNITS_PER_METRE - AWAY,
        "focal_length": np.array([min(across, down)], dtype=np.float32),
        "image_size": sides,
    }


FORMAT = TrackFormat(
    name="vhap",
    description="VHAP's tracked_flame_params or a motion of GaussianAvatars, or its folder flame_param",
    suffixes=(".npz",),
    read=read,
    write=write,
    unread=unread,
    folders=("flame_param",),
)
