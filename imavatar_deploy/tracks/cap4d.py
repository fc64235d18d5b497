"""Read CAP4D's `fit.npz` (FlowFace's format): FLAME 2023 and calibrated cameras.

The arrays are `expr [T, 65]` and `rot`, `tra [T, 3]`; optionally `neck_rot`, `eye_rot` and
`jaw_rot` `[T, 3]`, `shape [150]`, `fps` (-1 for a set of images), and of the cameras `fx`, `fy`,
`cx` and `cy` `[C, 1]` in pixels, `extr [C, 4, 4]` and `resolutions [C, 2]` (height, width). The
cameras have +Y down and look along +Z; the first of them is used. Without cameras the head turns in
place. Files of driving animations have no `shape`.

The head rotates about the origin. Its rotation and translation become part of the camera, where
they are exact. `neck_rot` rotates the trunk under the head without a chain of joints, which FLAME's
neck cannot do; it is left out.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from imavatar_deploy.camera import Camera
from imavatar_deploy.errors import InputError
from imavatar_deploy.kinematics import rotations

from .array_files import Dump, dumps
from .assembly import NO_JAW, NO_JAW_NOTE, camera_of, track_of
from .format import ForeignContentError, TrackFormat
from .optimisation_trackers import STATIC_HEAD_NOTE
from .track import FlameTrack

OPENCV_AXES = np.diag([1.0, -1.0, -1.0])
"""Rotation between OpenCV's camera axes (+Z forward, +Y down) and ours (-Z forward, +Y up)."""

CAMERA_ARRAYS = ("extr", "resolutions", "fx", "fy", "cx", "cy")
"""Arrays of the cameras."""

ARRAYS = {
    *("expr", "rot", "tra", "neck_rot", "eye_rot", "jaw_rot", "shape", "fps"),
    *CAMERA_ARRAYS,
}
"""Arrays that `read` uses."""

NO_CAMERA_NOTE = "the cameras are not in the file, so the head turns in place"

TRUNK_NOTE = "the trunk's own rotation is left out: FLAME cannot rotate it under a head at rest"
"""Note of a track with rotations of the trunk."""


def read(path: Path) -> FlameTrack:
    """Read a `fit.npz`.

    Raises:
        InputError: the file is damaged, or an array is missing or has a wrong shape.
        ForeignContentError: the file is of another tracker.
    """
    dump = next(iter(dumps(path, FORMAT.suffixes)))
    if not {"expr", "rot", "tra"} <= set(dump.values):
        raise ForeignContentError
    expression = dump.rows("expr", "E")
    turn = dump.rows("rot", 3)
    eyes = (
        dump.rows("eye_rot", 3)
        if "eye_rot" in dump.values
        else np.zeros((len(expression), 3), dtype=np.float32)
    )
    jaw = dump.rows("jaw_rot", 3) if "jaw_rot" in dump.values else np.zeros_like(eyes)
    if len(jaw) != len(eyes):
        raise InputError(
            f"{dump.path.name} has {len(eyes)} eye rotations and {len(jaw)} jaw rotations"
        )
    if not len(expression) == len(turn) == len(eyes):
        raise InputError(
            f"{dump.path.name} has {len(expression)} expressions, {len(turn)} rotations and "
            f"{len(eyes)} eye rotations"
        )
    has_cameras = all(key in dump.values for key in CAMERA_ARRAYS)
    still = np.zeros_like(eyes)
    pose = np.concatenate([still if has_cameras else turn, still, jaw, eyes, eyes], axis=1)
    notes = [STATIC_HEAD_NOTE if has_cameras else NO_CAMERA_NOTE]
    notes += [] if "jaw_rot" in dump.values else [NO_JAW_NOTE]
    if "neck_rot" in dump.values and dump.rows("neck_rot", 3).any():
        notes.append(TRUNK_NOTE)
    return track_of(
        expression,
        pose,
        edition="flame2023" if "jaw_rot" in dump.values else NO_JAW,
        cameras=_cameras(dump) if has_cameras else (),
        shape=dump.numbers("shape", "S") if "shape" in dump.values else None,
        fps=dump.rate(),
        notes=notes,
    )


def unread(path: Path) -> set[str]:
    """Return the names of the arrays that `read` ignores.

    Raises:
        InputError: the file is damaged.
        ForeignContentError: the file is of another tracker.
    """
    dump = next(iter(dumps(path, FORMAT.suffixes)))
    if not {"expr", "rot", "tra"} <= set(dump.values):
        raise ForeignContentError
    return set(dump.values) - ARRAYS


def _cameras(dump: Dump) -> list[Camera]:
    extrinsics = dump.numbers("extr", "C", 4, 4)
    sizes = dump.numbers("resolutions", "C", 2)
    lenses = [dump.numbers(key, "C", 1) for key in ("fx", "fy", "cx", "cy")]
    if not all(map(len, (extrinsics, sizes, *lenses))) or sizes[0].min() < 1:
        raise InputError(f"{dump.path.name} has no camera, or one with an empty image")
    height, width = sizes[0]
    fx, fy, cx, cy = (lens[0, 0] for lens in lenses)
    lens = (fx / width, fy / height, cx / width, cy / height)
    to_camera = OPENCV_AXES @ extrinsics[0, :3, :3] @ OPENCV_AXES
    head_rotations = rotations(dump.rows("rot", 3))[:, 0]
    translations = dump.rows("tra", 3)
    if len(head_rotations) != len(translations):
        raise InputError(
            f"{dump.path.name} has {len(head_rotations)} rotations and "
            f"{len(translations)} translations"
        )
    offset = OPENCV_AXES @ extrinsics[0, :3, 3]
    return [
        camera_of(
            f"frame {index} of {dump.path.name}",
            to_camera @ rotation,
            to_camera @ translation + offset,
            lens,
        )
        for index, (rotation, translation) in enumerate(
            zip(head_rotations, translations, strict=True)
        )
    ]


FORMAT = TrackFormat(
    name="cap4d",
    description="CAP4D's fit.npz",
    suffixes=(".npz",),
    read=read,
    unread=unread,
)
