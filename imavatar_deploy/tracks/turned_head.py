"""A motion whose camera moves, as one whose head moves: the same picture, and a head that turns without its cameras.

    A (G (x - j) + j) + t  =  [A G] (x - j) + j  +  (A j + t - j)

A point x of the head at rest, turned by G about its root joint j, is seen by a camera [A | t]. The turn A of the camera
goes into the head's global rotation; what is left of the camera only moves.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.camera import Camera
from imavatar_deploy.checks import as_float32
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.errors import UsageError
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.kinematics import rotations
from imavatar_deploy.tracks.moment import STILL
from imavatar_deploy.tracks.rotations import axis_angles
from imavatar_deploy.tracks.track import FlameTrack

Float = NDArray[np.float32]


def with_head_turned(track: FlameTrack, joints: Float) -> FlameTrack:
    """The same pictures with the cameras' turning in the head's global rotation.

    Args:
        joints: `[T, 3]` the root joint at rest in each frame, model units: see `root_joints`. Where it is off by d, the
            picture shifts by |A d - d|.

    Raises:
        UsageError: the track has no cameras.
        InputError: not one joint a frame.
    """
    if not track.cameras:
        raise UsageError("this track has no cameras whose turning could go into the head: leave --turn-head out")
    joints = as_float32("joints", joints, (len(track), 3))
    seen = np.stack([camera.world_to_camera for camera in track.cameras]).astype(np.float64)
    turn = seen[:, :, :3] @ rotations(track.pose[:, :3])[:, 0]
    moved = np.einsum("tij,tj->ti", seen[:, :, :3], joints) + seen[:, :, 3] - joints
    pose = track.pose.copy()
    pose[:, :3] = axis_angles(turn)
    cameras = [
        Camera(np.column_stack([np.eye(3), row]).astype(np.float32), camera.intrinsics)
        for row, camera in zip(moved, track.cameras, strict=True)
    ]
    notes = tuple(note for note in track.notes if note != STILL)
    return replace(track, pose=pose, cameras=tuple(cameras), notes=notes)


def root_joints(track: FlameTrack, head: HeadModel) -> Float:
    """[T, 3] the root joint of a head model with the track's shape and expressions, model units."""
    subject = head.for_subject(track.shape[: head.shape_basis.shape[2]])
    joints = np.stack([subject.joints(row)[0] for row in track.expression])
    return np.asarray(UNITS_PER_METRE * joints, dtype=np.float32)
