"""Moment: what one `.frame` file of metrical-tracker or Pixel3DMM tells, and what the two have in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.camera import Camera
from imavatar_deploy.errors import InputError
from imavatar_deploy.tracks.assembly import eyelids, track_of
from imavatar_deploy.tracks.dump import Dump
from imavatar_deploy.tracks.rotations import axis_angles, matrices_of_6d
from imavatar_deploy.tracks.track import FlameTrack

Float = NDArray[np.float32]

STILL = "the head stands still and the camera moves; imavatar-data convert --turn-head makes the head move instead"


class Moment(NamedTuple):
    """One frame."""

    name: str
    expression: Float  # [n]
    pose: Float  # [15]
    shape: Float  # [S]
    eyelids: Float  # [2]
    camera: Camera


def moment_of(dump: Dump, camera: Camera) -> Moment:
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
    lids = flame.numbers("eyelids", 2) if "eyelids" in flame.values else np.zeros(2, dtype=np.float32)
    return Moment(dump.name, flame.numbers("exp", "E"), pose, flame.numbers("shape", "S"), lids, camera)


def track_of_moments(moments: Sequence[Moment], edition: str | None, notes: Iterable[str]) -> FlameTrack:
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
        raise InputError(f"img_size of {dump.path.name} must be the height and width in pixels, got {height}, {width}")
    return height, width


def rotation(dump: Dump, key: str) -> NDArray[np.float64]:
    """[3, 3] from six numbers.

    Raises:
        InputError: they are missing, or no rotation.
    """
    return matrices_of_6d(f"{key} of {dump.path.name}", dump.numbers(key, 6))


def _turned(flame: Dump, key: str, count: int) -> Float:
    values = flame.numbers(key, 6 * count).reshape(count, 6)
    return axis_angles(matrices_of_6d(f"{key} of {flame.path.name}", values)).ravel()
