"""Moment: what one `.frame` file of metrical-tracker or Pixel3DMM tells, and what the two have in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.camera import Camera
from imavatar_deploy.errors import InputError
from imavatar_deploy.kinematics import axis_angles_of_matrices, matrices_of_6d

from .array_files import Dump, dumps
from .assembly import NO_JAW, camera_of, eyelids, track_of
from .format import ForeignContentError, TrackFormat
from .track import FlameTrack

Float = NDArray[np.float32]

STILL = "the head stands still and the camera moves; imavatar-data convert --turn-head makes the head move instead"


class TrackerFrame(NamedTuple):
    """One frame."""

    name: str
    expression: Float  # [n]
    pose: Float  # [15]
    shape: Float  # [S]
    eyelids: Float  # [2]
    camera: Camera


def moment_of(dump: Dump, camera: Camera) -> TrackerFrame:
    """A frame from its `flame{exp, shape, eyes, jaw [neck, eyelids]}`; rotations are of six numbers.

    Raises:
        InputError: something is missing, of another shape, not finite, or no rotation.
    """
    flame = dump.inside("flame")
    pose = np.zeros(15, dtype=np.float32)
    if "neck" in flame.values:
        pose[3:6] = _turned(flame, "neck", 1)
    pose[6:9] = _turned(flame, "jaw", 1)
    pose[9:] = _turned(flame, "eyes", 2)
    lids = (
        flame.numbers("eyelids", 2) if "eyelids" in flame.values else np.zeros(2, dtype=np.float32)
    )
    return TrackerFrame(
        dump.name, flame.numbers("exp", "E"), pose, flame.numbers("shape", "S"), lids, camera
    )


def track_of_moments(
    moments: Sequence[TrackerFrame], edition: str | None, notes: Iterable[str]
) -> FlameTrack:
    """Frames as a track.

    Raises:
        InputError: the frames differ in how many expressions they have.
    """
    size = len(moments[0].expression)
    for moment in moments:
        if len(moment.expression) != size:
            raise InputError(
                f"frame {moment.name} has {len(moment.expression)} expressions and frame {moments[0].name} {size}: "
                "are they of two trackings?"
            )
    return track_of(
        np.stack([moment.expression for moment in moments]),
        np.stack([moment.pose for moment in moments]),
        edition=edition,
        names=[moment.name for moment in moments],
        cameras=[moment.camera for moment in moments],
        shape=moments[0].shape,
        notes=[*notes, STILL, *eyelids(np.stack([moment.eyelids for moment in moments]))],
    )


def picture_size(dump: Dump) -> tuple[float, float]:
    """Height and width of the video, pixels.

    Raises:
        InputError: one of them is not positive.
    """
    height, width = dump.numbers("img_size", 2).tolist()
    if min(height, width) < 1:
        raise InputError(
            f"img_size of {dump.path.name} must be the height and width in pixels, got {height}, {width}"
        )
    return height, width


def rotation(dump: Dump, key: str) -> NDArray[np.float64]:
    """[3, 3] from six numbers.

    Raises:
        InputError: they are missing, or no rotation.
    """
    return matrices_of_6d(f"{key} of {dump.path.name}", dump.numbers(key, 6))


def _turned(flame: Dump, key: str, count: int) -> Float:
    values = flame.numbers(key, 6 * count).reshape(count, 6)
    return axis_angles_of_matrices(matrices_of_6d(f"{key} of {flame.path.name}", values)).ravel()


# metrical-tracker's folder of `.frame` files: FLAME 2020, rotations of six numbers, a head that stands still.
#
# Its `torch.save` of one frame: `flame{exp [1, 100], shape [1, 300], eyes [1, 12], eyelids [1, 2], jaw [1, 6]}`,
# `camera{R [1, 6], t [1, 3], fl [1, 1], pp [1, 2]}`, `img_size [2]` (height, width). The whole motion of the head is in
# the **camera**, and it is kept there: the picture is the video's, to rounding, and the global rotation is zero.
# `turned_head` moves it into the head.


ABOUT_FACE = np.diag([-1.0, 1.0, -1.0])
"""PyTorch3D's camera looks along +Z with +X to the left; ours along -Z with +X to the right."""


def read_metrical_tracker(path: Path) -> FlameTrack:
    """Read one `.frame`, or every one of a folder.

    Raises:
        InputError: one of them is damaged, lacks something, or holds a foreign object.
        ForeignContentError: they are of another tracker.
    """
    return track_of_moments(
        [_metrical_moment(dump) for dump in dumps(path, METRICAL_TRACKER.suffixes)], "flame2020", []
    )


def _metrical_moment(dump: Dump) -> TrackerFrame:
    if not isinstance(dump.values.get("camera"), dict) or "R" not in dump.values["camera"]:
        raise ForeignContentError
    return moment_of(dump, _metrical_camera(dump))


def _metrical_camera(dump: Dump) -> Camera:
    """A row vector x lands at x R + t, then at `size / 2 (1 - fl x / z - pp)` with size the shorter side."""
    camera = dump.inside("camera")
    height, width = picture_size(dump)
    across, down = min(height, width) / (2 * width), min(height, width) / (2 * height)
    (focal,), (right, up) = camera.numbers("fl", 1), camera.numbers("pp", 2)
    lens = (focal * across, focal * down, 0.5 - right * across, 0.5 - up * down)
    turned = ABOUT_FACE @ rotation(camera, "R").T
    return camera_of(dump.path.name, turned, ABOUT_FACE @ camera.numbers("t", 3), lens)


METRICAL_TRACKER = TrackFormat(
    name="metrical-tracker",
    description="metrical-tracker, a folder",
    suffixes=(".frame",),
    read=read_metrical_tracker,
    folders=("checkpoint",),
)


# Pixel3DMM's folder of `.frame` files: as metrical-tracker's, with a neck, a moving head and a camera that stands.
#
# `flame{exp, shape, eyes, eyelids, jaw, neck [1, 6], R [1, 6], t [1, 3]}`, `camera{R_base_0 [1, 3, 3], t_base_0 [1, 3],
# fl, pp}`, `img_size`. The head turns about the **origin** (R v + t), not about FLAME's joint, so its motion goes into
# the camera here too, where it is exact. FLAME 2020, unless the folder's name says `_FLAME23`, the model without a jaw.


FLAME_2023 = "_FLAME23"
"""In the name of the folder above `checkpoint` when FLAME 2023 was fitted; the files themselves do not say."""


def read_pixel3dmm(path: Path) -> FlameTrack:
    """Read one `.frame`, or every one of a folder.

    Raises:
        InputError: one of them is damaged, lacks something, or holds a foreign object.
        ForeignContentError: they are of another tracker.
    """
    moments = [_pixel3dmm_moment(dump) for dump in dumps(path, PIXEL3DMM.suffixes)]
    if any(FLAME_2023 in part for part in path.absolute().parts):
        return track_of_moments(moments, None, [NO_JAW])
    return track_of_moments(moments, "flame2020", [])


def _pixel3dmm_moment(dump: Dump) -> TrackerFrame:
    if not isinstance(dump.values.get("camera"), dict) or "R_base_0" not in dump.values["camera"]:
        raise ForeignContentError
    return moment_of(dump, _pixel3dmm_camera(dump))


def _pixel3dmm_camera(dump: Dump) -> Camera:
    """The camera looks along -Z with +Y up, as ours; its picture's middle is half a pixel off, in both directions."""
    camera, flame = dump.inside("camera"), dump.inside("flame")
    base, place = camera.numbers("R_base_0", 3, 3), camera.numbers("t_base_0", 3)
    height, width = picture_size(dump)
    (focal,), (right, down) = camera.numbers("fl", 1), camera.numbers("pp", 2)
    middle = ((1 + right) * (width / 2 + 0.5) - 1) / width, (1 + down) * (height / 2 + 0.5) / height
    turned, moved = base @ rotation(flame, "R"), base @ flame.numbers("t", 3) + place
    return camera_of(dump.path.name, np.asarray(turned), moved, (focal, focal, *middle))


PIXEL3DMM = TrackFormat(
    name="pixel3dmm",
    description="Pixel3DMM, a folder",
    suffixes=(".frame",),
    read=read_pixel3dmm,
    folders=("checkpoint",),
)
