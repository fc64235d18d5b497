"""A motion at another frame rate: expressions blended, bones turned along the shortest way; it keeps its speed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.camera import Camera
from imavatar_deploy.checks import as_float32
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.errors import UsageError
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.kinematics import axis_angles, axis_angles_of_matrices, quaternions, rotations

from .optimisation_trackers import STILL
from .track import FlameTrack

Float = NDArray[np.float32]

Double = NDArray[np.float64]

FASTEST = 1000.0
"""Frames a second."""

EARLY = 1e-6
"""Fraction of a frame: rounding must not put a tick beside the frame it falls on."""


def checked_rate(fps: float) -> float:
    """The frames a second that were asked for.

    Raises:
        UsageError: `fps` is not in 0..1000.
    """
    if not 0 < fps <= FASTEST:
        raise UsageError(f"--fps must be more than 0 and at most {FASTEST:.0f}, got {fps}")
    return fps


def retimed(track: FlameTrack, fps: float) -> FlameTrack:
    """The same motion at `fps` frames a second, from its first frame and never past its last.

    A tick that falls on a frame is that frame, bit for bit. Between two, the expression is blended linearly and each
    bone's rotation spherically; the camera and the name are those of the frame before.

    Args:
        track: T frames at `track.fps` a second.
        fps: frames a second of the result.

    Raises:
        UsageError: `fps` is not in 0..1000.

    Example:
        >>> retimed(read_track("talk"), 60.0).fps
        60.0
    """
    if checked_rate(fps) == track.fps:
        return track
    last = len(track) - 1
    place = np.arange(int(last * fps / track.fps + EARLY) + 1) * (track.fps / fps)
    before = np.minimum((place + EARLY).astype(int), last)
    share = place - before
    share[share < EARLY] = 0.0
    after = np.minimum(before + 1, last)
    weight = share.astype(np.float32)[:, None]
    expression = (1 - weight) * track.expression[before] + weight * track.expression[after]
    turned = _slerp(track.pose[before], track.pose[after], share)
    return replace(
        track,
        expression=np.where(weight > 0, expression, track.expression[before]),
        pose=np.where(weight > 0, turned, track.pose[before]),
        cameras=tuple(track.cameras[index] for index in before) if track.cameras else (),
        names=tuple(track.names[index] for index in before),
        fps=fps,
    )


def _slerp(first: Float, second: Float, share: Double) -> Float:
    """[T, 3 B] axis-angles `share` `[T]` of the way from `first` to `second`, each bone on its own great circle."""
    a, b = quaternions(first), quaternions(second)
    cosine = (a * b).sum(axis=-1, keepdims=True)
    b, cosine = np.where(cosine < 0, -b, b), np.minimum(np.abs(cosine), 1.0)
    angle, way = np.arccos(cosine), share[:, None, None]
    sine = np.sin(angle)
    near = sine < 1e-6  # where the arc is a straight line
    safe = np.where(near, 1.0, sine)
    start = np.where(near, 1.0 - way, np.sin((1.0 - way) * angle) / safe)
    end = np.where(near, way, np.sin(way * angle) / safe)
    return axis_angles(start * a + end * b).astype(np.float32)


# A motion whose camera moves, as one whose head moves: the same picture, and a head that turns without its cameras.
#
#     A (G (x - j) + j) + t  =  [A G] (x - j) + j  +  (A j + t - j)
#
# A point x of the head at rest, turned by G about its root joint j, is seen by a camera [A | t]. The turn A of the camera
# goes into the head's global rotation; what is left of the camera only moves.


def with_head_turned(track: FlameTrack, joints: Float) -> FlameTrack:
    """The same pictures with the cameras' turning in the head's global rotation.

    Args:
        track: a motion whose cameras move about a still head.
        joints: `[T, 3]` the root joint at rest in each frame, model units: see `root_joints`. Where it is off by d, the
            picture shifts by |A d - d|.

    Raises:
        UsageError: the track has no cameras.
        InputError: not one joint a frame.

    Example:
        >>> head = HeadModel.load("openhead")
        >>> turned = with_head_turned(track, root_joints(track, head))
    """
    if not track.cameras:
        raise UsageError(
            "this track has no cameras whose turning could go into the head: leave --turn-head out"
        )
    joints = as_float32("joints", joints, (len(track), 3))
    seen = np.stack([camera.world_to_camera for camera in track.cameras]).astype(np.float64)
    turn = seen[:, :, :3] @ rotations(track.pose[:, :3])[:, 0]
    moved = np.einsum("tij,tj->ti", seen[:, :, :3], joints) + seen[:, :, 3] - joints
    pose = track.pose.copy()
    pose[:, :3] = axis_angles_of_matrices(turn)
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
