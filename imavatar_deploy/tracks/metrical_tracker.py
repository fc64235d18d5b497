"""metrical-tracker's folder of `.frame` files: FLAME 2020, rotations of six numbers, a head that stands still.

Its `torch.save` of one frame: `flame{exp [1, 100], shape [1, 300], eyes [1, 12], eyelids [1, 2], jaw [1, 6]}`,
`camera{R [1, 6], t [1, 3], fl [1, 1], pp [1, 2]}`, `img_size [2]` (height, width). The whole motion of the head is in
the **camera**, and it is kept there: the picture is the video's, to rounding, and the global rotation is zero.
`turned_head` moves it into the head.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from imavatar_deploy.camera import Camera
from imavatar_deploy.tracks.assembly import camera_of
from imavatar_deploy.tracks.dump import Dump
from imavatar_deploy.tracks.dump_files import dumps
from imavatar_deploy.tracks.format import ForeignContentError, TrackFormat
from imavatar_deploy.tracks.moment import Moment, moment_of, picture_size, rotation, track_of_moments
from imavatar_deploy.tracks.track import FlameTrack

ABOUT_FACE = np.diag([-1.0, 1.0, -1.0])
"""PyTorch3D's camera looks along +Z with +X to the left; ours along -Z with +X to the right."""


def read(path: Path) -> FlameTrack:
    """Read one `.frame`, or every one of a folder.

    Raises:
        InputError: one of them is damaged, lacks something, or holds a foreign object.
        ForeignContentError: they are of another tracker.
    """
    return track_of_moments([_moment(dump) for dump in dumps(path, FORMAT.suffixes)], "flame2020", [])


def _moment(dump: Dump) -> Moment:
    if not isinstance(dump.values.get("camera"), dict) or "R" not in dump.values["camera"]:
        raise ForeignContentError
    return moment_of(dump, _camera(dump))


def _camera(dump: Dump) -> Camera:
    """A row vector x lands at x R + t, then at `size / 2 (1 - fl x / z - pp)` with size the shorter side."""
    camera = dump.inside("camera")
    height, width = picture_size(dump)
    across, down = min(height, width) / (2 * width), min(height, width) / (2 * height)
    (focal,), (right, up) = camera.numbers("fl", 1), camera.numbers("pp", 2)
    lens = (focal * across, focal * down, 0.5 - right * across, 0.5 - up * down)
    turned = ABOUT_FACE @ rotation(camera, "R").T
    return camera_of(dump.path.name, turned, ABOUT_FACE @ camera.numbers("t", 3), lens)


FORMAT = TrackFormat(
    name="metrical-tracker",
    description="metrical-tracker, a folder",
    suffixes=(".frame",),
    read=read,
    folders=("checkpoint",),
)
