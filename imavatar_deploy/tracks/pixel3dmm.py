"""Pixel3DMM's folder of `.frame` files: as metrical-tracker's, with a neck, a moving head and a camera that stands.

`flame{exp, shape, eyes, eyelids, jaw, neck [1, 6], R [1, 6], t [1, 3]}`, `camera{R_base_0 [1, 3, 3], t_base_0 [1, 3],
fl, pp}`, `img_size`. The head turns about the **origin** (R v + t), not about FLAME's joint, so its motion goes into
the camera here too, where it is exact. FLAME 2020, unless the folder's name says `_FLAME23`, the model without a jaw.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from imavatar_deploy.camera import Camera
from imavatar_deploy.tracks.assembly import NO_JAW, camera_of
from imavatar_deploy.tracks.dump import Dump
from imavatar_deploy.tracks.dump_files import dumps
from imavatar_deploy.tracks.format import ForeignContentError, TrackFormat
from imavatar_deploy.tracks.moment import Moment, moment_of, picture_size, rotation, track_of_moments
from imavatar_deploy.tracks.track import FlameTrack

FLAME_2023 = "_FLAME23"
"""In the name of the folder above `checkpoint` when FLAME 2023 was fitted; the files themselves do not say."""


def read(path: Path) -> FlameTrack:
    """Read one `.frame`, or every one of a folder.

    Raises:
        InputError: one of them is damaged, lacks something, or holds a foreign object.
        ForeignContentError: they are of another tracker.
    """
    moments = [_moment(dump) for dump in dumps(path, FORMAT.suffixes)]
    if any(FLAME_2023 in part for part in path.absolute().parts):
        return track_of_moments(moments, None, [NO_JAW])
    return track_of_moments(moments, "flame2020", [])


def _moment(dump: Dump) -> Moment:
    if not isinstance(dump.values.get("camera"), dict) or "R_base_0" not in dump.values["camera"]:
        raise ForeignContentError
    return moment_of(dump, _camera(dump))


def _camera(dump: Dump) -> Camera:
    """The camera looks along -Z with +Y up, as ours; its picture's middle is half a pixel off, in both directions."""
    camera, flame = dump.inside("camera"), dump.inside("flame")
    base, place = camera.numbers("R_base_0", 3, 3), camera.numbers("t_base_0", 3)
    height, width = picture_size(dump)
    (focal,), (right, down) = camera.numbers("fl", 1), camera.numbers("pp", 2)
    middle = ((1 + right) * (width / 2 + 0.5) - 1) / width, (1 + down) * (height / 2 + 0.5) / height
    turned, moved = base @ rotation(flame, "R"), base @ flame.numbers("t", 3) + place
    return camera_of(dump.path.name, np.asarray(turned), moved, (focal, focal, *middle))


FORMAT = TrackFormat(
    name="pixel3dmm",
    description="Pixel3DMM, a folder",
    suffixes=(".frame",),
    read=read,
    folders=("checkpoint",),
)
