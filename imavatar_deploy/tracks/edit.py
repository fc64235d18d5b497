"""Edit tracks: change the frame rate, and move the rotation of the cameras into the head."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from imavatar_deploy.arrays import Array, Float32, Float64
from imavatar_deploy.camera import Camera
from imavatar_deploy.checks import as_float32
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.errors import UsageError
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.kinematics import axis_angles, axis_angles_of_matrices, quaternions, rotations

from .optimisation_trackers import STATIC_HEAD_NOTE
from .track import ASSUMED_FPS_NOTE, FlameTrack

FASTEST = 1000.0
"""Largest frame rate, frames per second."""

ROUNDING = 1e-6
"""Times within this fraction of a frame from a frame are at that frame."""


# Frame rate


def checked_rate(fps: float) -> float:
    """Return `fps` after checking its range.

    Raises:
        UsageError: `fps` is not in 0..1000.
    """
    if not 0 < fps <= FASTEST:
        raise UsageError(f"--fps must be more than 0 and at most {FASTEST:.0f}, got {fps}")
    return fps


def recorded_at(track: FlameTrack, fps: float | None) -> FlameTrack:
    """State the frame rate at which a motion was recorded, in place of that of its file.

    Args:
        track: the motion.
        fps: frames a second; None: those of the file.

    Raises:
        InputError: `fps` is not positive and finite.
    """
    if fps is None:
        return track
    notes = tuple(note for note in track.notes if note != ASSUMED_FPS_NOTE)
    return replace(track, fps=fps, notes=notes)


def retimed(track: FlameTrack, fps: float) -> FlameTrack:
    """Resample a motion to `fps` frames per second; its speed does not change.

    A new frame at the time of an original frame equals it exactly. Between two frames the
    expression is interpolated linearly and the rotation of each bone spherically. Camera and name
    are those of the previous frame. The last new frame is not later than the last original one.

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
    position = np.arange(int(last * fps / track.fps + ROUNDING) + 1) * (track.fps / fps)
    before = np.minimum((position + ROUNDING).astype(int), last)
    share = position - before
    share[share < ROUNDING] = 0.0
    after = np.minimum(before + 1, last)
    weight = share.astype(np.float32)[:, None]
    expression = (1 - weight) * track.expression[before] + weight * track.expression[after]
    pose = _slerp(track.pose[before], track.pose[after], share)
    return replace(
        track,
        expression=np.where(weight > 0, expression, track.expression[before]),
        pose=np.where(weight > 0, pose, track.pose[before]),
        cameras=tuple(track.cameras[index] for index in before) if track.cameras else (),
        names=tuple(track.names[index] for index in before),
        fps=fps,
    )


def _slerp(
    first: Float32[Array, "T D"], second: Float32[Array, "T D"], share: Float64[Array, " T"]
) -> Float32[Array, "T D"]:
    """Interpolate axis-angles spherically, each bone on its own (D = 3 B)."""
    a = quaternions(first)
    b = quaternions(second)
    cosine = (a * b).sum(axis=-1, keepdims=True)
    b = np.where(cosine < 0, -b, b)
    cosine = np.minimum(np.abs(cosine), 1.0)
    angle = np.arccos(cosine)
    way = share[:, None, None]
    sine = np.sin(angle)
    near = sine < 1e-6  # where the arc is a straight line
    safe = np.where(near, 1.0, sine)
    start = np.where(near, 1.0 - way, np.sin((1.0 - way) * angle) / safe)
    end = np.where(near, way, np.sin(way * angle) / safe)
    return axis_angles(start * a + end * b).astype(np.float32)


# Rotation of the cameras
#
# A camera [A | t] maps a point x of the head at rest, rotated by G about the root joint j, to
#
#     A (G (x - j) + j) + t  =  [A G] (x - j) + j  +  (A j + t - j)
#
# The right side is a head with global rotation A G before a camera that only translates.


def with_head_turned(track: FlameTrack, joints: Float32[Array, "T 3"]) -> FlameTrack:
    """Move the rotation of the cameras into the head; the images do not change.

    Args:
        track: a track with cameras.
        joints: `[T, 3]` root joint at rest in each frame, model units, from `root_joints`. An error
            d moves the head by A d - d in the image, A being the rotation of the camera.

    Raises:
        UsageError: the track has no cameras.
        InputError: the number of joints is not that of the frames.

    Example:
        >>> head = HeadModel.load("openhead")
        >>> turned = with_head_turned(track, root_joints(track, head))
    """
    if not track.cameras:
        raise UsageError(
            "this track has no cameras whose rotation could move into the head: "
            "leave --turn-head out"
        )
    joints = as_float32("joints", joints, (len(track), 3))
    matrices = np.stack([camera.world_to_camera for camera in track.cameras]).astype(np.float64)
    head_rotation = matrices[:, :, :3] @ rotations(track.pose[:, :3])[:, 0]
    translation = np.einsum("tij,tj->ti", matrices[:, :, :3], joints) + matrices[:, :, 3] - joints
    pose = track.pose.copy()
    pose[:, :3] = axis_angles_of_matrices(head_rotation)
    cameras = [
        Camera(np.column_stack([np.eye(3), row]).astype(np.float32), camera.intrinsics)
        for row, camera in zip(translation, track.cameras, strict=True)
    ]
    notes = tuple(note for note in track.notes if note != STATIC_HEAD_NOTE)
    return replace(track, pose=pose, cameras=tuple(cameras), notes=notes)


def root_joints(track: FlameTrack, head: HeadModel) -> Float32[Array, "T 3"]:
    """Return the root joint at rest for the shape and expressions of a track, model units."""
    subject = head.for_subject(track.shape[: head.shape_basis.shape[2]])
    joints = np.stack([subject.joints(row)[0] for row in track.expression])
    return np.asarray(UNITS_PER_METRE * joints, dtype=np.float32)
