"""Where the eyes look, by landmarks alone, and with it where a person's eyeballs lie.

An iris shows the direction of an eye against the eyeball's centre, which nothing in an image shows:
a pixel of error in it is four degrees. It follows the landmarks of the face, whose errors differ
from person to person. The landmarks of the lids and of the iris have most of their errors in
common, and a linear function of their differences (`assets/gaze.npz`, fitted to renders by
`tools/build_gaze.py`) states the yaw of the eyes to three degrees, on the whole without an error.
Its mean and its dependence on the head's yaw say where the eyeballs lie, across and in depth; what
the eyes do within a video is read from the irises.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import as_file, files
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Bool, Float, Float64, read_only
from imavatar_deploy.kinematics import rotations
from imavatar_deploy.untrusted.npz import read_npz

from .landmark_groups import LEFT_EYE, LEFT_IRIS, RIGHT_EYE, RIGHT_IRIS

MIN_FRAMES = 30
"""Frames with open eyes below which the eyeballs stay where the head model has them."""
MAX_STRETCH = 0.5
"""Largest accepted change of the eyes' yaw by a change of the head's, radians a radian."""

SLOPE_PRIOR = 0.003
"""Variance of the sine of the head's yaw below which the dependence on it is not trusted."""

LANDMARKS_OF_EYES = (*RIGHT_EYE, *RIGHT_IRIS[1:], *LEFT_EYE, *LEFT_IRIS[1:])
FOREHEAD, CHIN = 10, 152


def sine_of_yaw(rotation: Float[Array, "T 3 3"]) -> Float[Array, " T"]:
    """Return the sine of the head's yaw: how far its forward axis points to the side."""
    forward = rotation[:, :, 2]
    return np.asarray(forward[:, 0] / np.hypot(forward[:, 0], forward[:, 2]))


def gaze_features(
    landmarks: Float[Array, "T 478 _"], rotation: Float[Array, "T 3 3"]
) -> Float64[Array, "T F"]:
    """Return what the table is linear in, for frames with landmarks.

    They are the rims of the lids and the borders of the irises, in the axes of the eyes' line and
    in heights of the face, the irises against the lids, and the pitch and yaw of the head.

    Args:
        landmarks: pixels: column, row.
        rotation: of the head, in the camera's axes.
    """
    points = np.asarray(landmarks, dtype=np.float64)[:, :, :2]
    right, left = (points[:, [eye[0], eye[8]]].mean(axis=1) for eye in (RIGHT_EYE, LEFT_EYE))
    across = (left - right) / np.linalg.norm(left - right, axis=1, keepdims=True)
    down = np.stack([-across[:, 1], across[:, 0]], axis=1)
    offset = points - ((left + right) / 2)[:, None]
    axes = np.stack([across, down], axis=2)
    yaw = sine_of_yaw(rotation)
    pitch = -rotation[:, 1, 2]
    height = np.linalg.norm(points[:, FOREHEAD] - points[:, CHIN], axis=1)
    height = height / (0.03 + 0.97 * np.sqrt(np.maximum(1.0 - pitch**2, 0.0)))
    place = (offset @ axes) / height[:, None, None]
    relative = [
        place[:, list(iris[1:])].mean(axis=1) - place[:, list(rim)].mean(axis=1)
        for eye, iris in ((RIGHT_EYE, RIGHT_IRIS), (LEFT_EYE, LEFT_IRIS))
        for rim in ((eye[0],), (eye[8],), eye)
    ]
    angles = [yaw, pitch, yaw**2, pitch**2, yaw * pitch]
    eyes = place[:, list(LANDMARKS_OF_EYES)].reshape(len(points), -1)
    return np.concatenate([eyes, *relative, np.stack(angles, axis=1)], axis=1)


@lru_cache(maxsize=1)
def gaze_table() -> dict[str, Any]:
    """Return the bundled coefficients: `weights` [F, 2] and `constant` [2]."""
    with as_file(files("imavatar_deploy") / "assets" / "gaze.npz") as path:
        return read_only(dict(read_npz(path, ("weights", "constant"))))


def predicted_gaze(
    landmarks: Float[Array, "T 478 _"], rotation: Float[Array, "T 3 3"]
) -> Float64[Array, "T 2"]:
    """Return the pitch and the yaw of the eyes in the head, radians; see `gaze_features`."""
    table = gaze_table()
    features = gaze_features(landmarks, rotation)
    return np.asarray(features @ table["weights"].astype(np.float64) + table["constant"])


def with_eyeballs_placed(
    pose: Float[Array, "T 15"],
    landmarks: Float[Array, "T 478 _"],
    visible: Bool[Array, " T"],
) -> Float[Array, "T 15"]:
    """Return poses whose eyes are corrected for where this person's eyeballs lie.

    The yaw of each changes by a constant and in proportion to the sine of the head's yaw, so that
    it agrees with `predicted_gaze` on the whole. The pitch changes by a constant: people look level
    on the whole.

    Args:
        pose: fitted poses.
        landmarks: pixels: column, row.
        visible: whether a frame shows both irises.
    """
    chosen = np.asarray(visible)
    if chosen.sum() < MIN_FRAMES:
        return pose
    turned = rotations(np.asarray(pose, dtype=np.float32)).astype(np.float64)
    rotation = turned[:, 0] @ turned[:, 1]
    sine = sine_of_yaw(rotation)
    columns = np.stack([np.ones(len(pose)), sine], axis=1)
    predicted = predicted_gaze(landmarks[chosen], rotation[chosen])[:, 1]
    # A prior for heads that do not turn: the slope is that of a few degrees
    matrix = columns[chosen].T @ columns[chosen] + np.diag([0.0, SLOPE_PRIOR * chosen.sum()])
    placed = np.array(pose)
    for first in (9, 12):
        missing = predicted - pose[chosen, first + 1]
        constant, slope = np.linalg.solve(matrix, columns[chosen].T @ missing)
        slope = float(np.clip(slope, -MAX_STRETCH, MAX_STRETCH))
        placed[:, first] -= np.median(pose[chosen, first])
        placed[:, first + 1] += constant + slope * sine
    return placed
