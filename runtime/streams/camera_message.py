"""The camera of a motion as a text message, beside the packets of a WebSocket.

`docs/flame-stream.md` is the specification. `decode_camera` and `camera_between` are the reference
for receivers; they need the standard library and numpy alone.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

import numpy as np

from imavatar_deploy.arrays import Array, Float64
from imavatar_deploy.camera import Camera
from imavatar_deploy.errors import InputError

MOST_CHARACTERS = 1200
"""Longest message of any version."""

DIGITS = 9
"""Significant digits of a number: enough for every float32."""

CUT_RADIANS = 0.5
"""Angle between the cameras of two packets beyond which the recording was cut."""


def encode_camera(camera: Camera | None) -> str:
    """Return the message of a camera; of None, that the motion has no camera from now on."""
    if camera is None:
        return '{"camera": null}'
    rows = {
        "world_to_camera": _rounded(camera.world_to_camera),
        "intrinsics": _rounded(camera.intrinsics),
    }
    return json.dumps({"camera": rows})


def _rounded(values: Any) -> list[float]:
    return [float(f"{value:.{DIGITS}g}") for value in np.ravel(values)]


def decode_camera(text: str) -> Camera | None:
    """Read the message of a camera.

    Raises:
        InputError: the message must be refused.
        KeyError: it is of another kind, and must be ignored.
    """
    if len(text) > MOST_CHARACTERS:
        raise InputError(
            f"a message has at most {MOST_CHARACTERS} characters, this one {len(text)}"
        )
    try:
        content = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InputError("a message must be a JSON object") from error
    if not isinstance(content, dict):
        raise InputError(f"a message must be a JSON object, got {type(content).__name__}")
    camera = content["camera"]
    if camera is None:
        return None
    if not isinstance(camera, dict):
        raise InputError("camera must be an object or null")
    matrix = _numbers(camera, "world_to_camera", 12)
    return Camera(matrix.reshape(3, 4), _numbers(camera, "intrinsics", 4))


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _numbers(camera: dict[str, Any], name: str, count: int) -> Float64[Array, " n"]:
    values = camera.get(name)
    if not (
        isinstance(values, list)
        and len(values) == count
        and all(type(value) in (int, float) and abs(value) < 1e30 for value in values)
    ):
        raise InputError(f"{name} of a camera must be {count} finite numbers")
    return np.array(values, dtype=np.float64)


def camera_between(before: Camera, after: Camera, share: float) -> Camera:
    """Return the camera between those of two packets.

    Args:
        before, after: the cameras of the two packets.
        share: 0 at the first packet, 1 at the second.
    """
    matrix, other = (each.world_to_camera.astype(np.float64) for each in (before, after))
    turn = _rotation_vector(other[:, :3] @ matrix[:, :3].T)
    if np.linalg.norm(turn) > CUT_RADIANS:
        return before if share < 1 else after
    rotation = _rotation(share * turn) @ matrix[:, :3]
    translation = matrix[:, 3] + share * (other[:, 3] - matrix[:, 3])
    lens = before.intrinsics.astype(np.float64)
    lens = lens + share * (after.intrinsics - lens)
    return Camera(np.column_stack([rotation, translation]), lens)


def _rotation_vector(matrix: Float64[Array, "3 3"]) -> Float64[Array, "3"]:
    """The axis-angle of a rotation."""
    skew = (matrix - matrix.T) / 2
    axis = np.array([skew[2, 1], skew[0, 2], skew[1, 0]])
    sine = float(np.linalg.norm(axis))
    angle = math.atan2(sine, (float(np.trace(matrix)) - 1) / 2)
    return axis * (angle / sine) if sine > 1e-12 else axis + angle


def _rotation(vector: Float64[Array, "3"]) -> Float64[Array, "3 3"]:
    """The rotation matrix of an axis-angle; Rodrigues' formula."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.asarray(np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross)
