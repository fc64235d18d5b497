"""CAP4D's `fit.npz` (FlowFace's format): FLAME 2023, a head turned about the origin, calibrated cameras.

`rot tra neck_rot eye_rot [jaw_rot] [T, 3]`, `expr [T, 65]`, `shape [150]`, `fx fy cx cy [C, 1]` in pixels,
`extr [C, 4, 4]` for a camera with +Y down that looks along +Z, `resolutions [C, 2]` (height, width). Rotation and
translation go into the camera, where they are exact: the head stands still. Of several cameras the first is taken. What
`neck_rot` turns is the trunk under the head, without a chain of joints, which FLAME's neck cannot do: it is left out.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.camera import Camera
from imavatar_deploy.errors import InputError
from imavatar_deploy.kinematics import rotations

from .array_files import Dump, dumps
from .assembly import NO_JAW, camera_of, track_of
from .format import ForeignContentError, TrackFormat
from .optimisation_trackers import STILL
from .track import FlameTrack

Float = NDArray[np.float32]

HALF_TURN = np.diag([1.0, -1.0, -1.0])
"""Between our axes and OpenCV's: a turn about X, both ways."""

TRUNK = "the trunk's own turning is left out: FLAME cannot turn it under a head that stands"


def read(path: Path) -> FlameTrack:
    """Read a `fit.npz`.

    Raises:
        InputError: it is damaged, lacks something, or is of another shape.
        ForeignContentError: it is of another tracker.
    """
    dump = next(iter(dumps(path, FORMAT.suffixes)))
    if not {"expr", "rot", "tra"} <= set(dump.values):
        raise ForeignContentError
    expression = dump.rows("expr", "E")
    eyes = (
        dump.rows("eye_rot", 3)
        if "eye_rot" in dump.values
        else np.zeros((len(expression), 3), dtype=np.float32)
    )
    jaw = dump.rows("jaw_rot", 3) if "jaw_rot" in dump.values else np.zeros_like(eyes)
    pose = np.concatenate(
        [np.zeros((len(eyes), 6), dtype=np.float32), _like(jaw, eyes, dump), eyes, eyes], axis=1
    )
    notes = [STILL, *([] if "jaw_rot" in dump.values else [NO_JAW])]
    if "neck_rot" in dump.values and dump.rows("neck_rot", 3).any():
        notes.append(TRUNK)
    return track_of(
        expression,
        pose,
        edition="flame2023" if "jaw_rot" in dump.values else None,
        cameras=_cameras(dump),
        shape=dump.numbers("shape", "S"),
        notes=notes,
    )


def _like(rows: Float, others: Float, dump: Dump) -> Float:
    if len(rows) != len(others):
        raise InputError(
            f"{dump.path.name} has {len(others)} eye rotations and {len(rows)} jaw rotations"
        )
    return rows


def _cameras(dump: Dump) -> list[Camera]:
    extrinsics, sizes = dump.numbers("extr", "C", 4, 4), dump.numbers("resolutions", "C", 2)
    lenses = [dump.numbers(key, "C", 1) for key in ("fx", "fy", "cx", "cy")]
    if not all(map(len, (extrinsics, sizes, *lenses))) or sizes[0].min() < 1:
        raise InputError(f"{dump.path.name} has no camera, or one without a picture")
    height, width = sizes[0]
    fx, fy, cx, cy = (lens[0, 0] for lens in lenses)
    lens = (fx / width, fy / height, cx / width, cy / height)
    to_camera = HALF_TURN @ extrinsics[0, :3, :3] @ HALF_TURN
    turns, moves = rotations(dump.rows("rot", 3))[:, 0], dump.rows("tra", 3)
    if len(turns) != len(moves):
        raise InputError(
            f"{dump.path.name} has {len(turns)} rotations and {len(moves)} translations"
        )
    place = HALF_TURN @ extrinsics[0, :3, 3]
    return [
        camera_of(
            f"frame {index} of {dump.path.name}", to_camera @ turn, to_camera @ move + place, lens
        )
        for index, (turn, move) in enumerate(zip(turns, moves, strict=True))
    ]


FORMAT = TrackFormat(
    name="cap4d",
    description="CAP4D's fit.npz",
    suffixes=(".npz",),
    read=read,
)
