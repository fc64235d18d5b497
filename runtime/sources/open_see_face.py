"""OpenSeeFace (webcam tracker for avatars), `openseeface://:11573`: faces of 1785 bytes each.

    f64 time, i32 id, f32 width, height, f32 eyes open (right, left), u8 success, f32 error,
    f32 quaternion x y z w, f32 euler[3], f32 translation[3], f32 confidence[68],
    f32 landmark[68] (y, x), f32 point[70] (x, -y, -z), f32 feature[14]             (little-endian)

From its facetracker.py and tracker.py:

- Landmarks go to solvePnP as (row, column), so its camera's axes are image-down, image-right, away
  from the camera; its face's are the person's right, up, out of the face. Started from zero it
  finds the face *behind* the camera (z of the translation about -4), with the first two rows
  negated. To a weak perspective that is the same image, and it explains the tracker's Euler angles
  of about (180, 8, 90) degrees at rest. A test finds a face in the same way.
- `matrix_to_quaternion` is written for row vectors: it sends the *conjugate* of face to camera.
- `point` 66 and 67 are the right and left pupil, 68 and 69 the centres of the eyeballs.
- The solver's optics are rough: a head that looks straight into the camera comes out some 10
  degrees off; a calibration of the neutral face removes that.
- A feature is -1..1 about this person's median, and reaches both ends in ordinary speech: eyes and
  mouth open above 0; brows up above 0; a mouth corner *down* above 0 (the height of the upper lip
  less that of the corner); corners out and mouth wide above 0. How steep and how bent a brow is has
  no counterpart among ARKit's shapes and is left out.
- Its own driver of VRM avatars (OpenSeeVRMDriver.cs) takes a corner below -0.2 for a smile, the
  same sign; drivers weaken the features, as here: brows and corners by half, the corners beyond a
  dead zone of 0.3, a pucker to 0.3.
- A smile widens the mouth. Against a smile that another tracker measures, mouth_wide correlates
  most (0.54 to 0.79 on four clips), the corners by -0.84 to +0.34. The mean of both is used.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from imavatar_deploy.checks import ensure_finite
from imavatar_deploy.errors import InputError
from imavatar_deploy.retarget.arkit import ARKIT, ARKIT_NAMES

from .arkit import (
    SHAPE_INDEX,
    Vector,
    arkit_observation,
    matrix_of,
    no_rotation,
    of_matrix,
    of_quaternion,
    towards,
)
from .observation import Observation
from .source import Parser, Protocol

FACE = struct.Struct("<di2f2fBf4f3f3f68f136f210f14f")
TIME = 0
SUCCESS = 6
DEPTH = 17
EYES_OPEN = slice(4, 6)
QUATERNION = slice(8, 12)
CONFIDENCE = slice(18, 86)
POINTS = slice(222, 432)
FEATURES = slice(432, 446)

LANDMARKS = 66
"""Number of landmarks; two more confidences are the pupils': 0 where gaze tracking is off."""

LEAST_CONFIDENCE = 0.4
"""Least mean confidence of the landmarks; the tracker's own first threshold for a face."""

FACES_PER_DATAGRAM = 36
"""Number of faces that fit into a datagram."""

BEFORE_CAMERA = np.array([[0.0, -1, 0], [-1, 0, 0], [0, 0, -1]])
"""Face to camera when the face looks into it."""

BEHIND_CAMERA = np.diag([-1.0, -1, 1]) @ BEFORE_CAMERA
"""Face to camera, where the tracker's solver finds the face behind the camera."""

MIRROR = np.diag([-1.0, 1, 1])
"""Between the tracker's face axes (the person's right) and the model's (the person's left)."""

CORNER_DEAD_ZONE = 0.3
"""Feature of a mouth corner up to which it is at rest."""


class Meaning(NamedTuple):
    """A shape of ARKit as a share of the mean of signed features."""

    shape: str
    features: tuple[tuple[int, int], ...]
    """Place and sign (1 or -1) of each feature."""
    scale: float
    """Weight of the shape where the mean is 1."""
    dead_zone: float = 0.0
    """Mean up to which the weight is 0."""

    def weight(self, features: Sequence[float]) -> float:
        """Return the weight of the shape; a mean below the dead zone gives none."""
        mean = sum(sign * features[place] for place, sign in self.features) / len(self.features)
        return self.scale * max(0.0, mean - self.dead_zone) / (1 - self.dead_zone)


MEANING = (
    Meaning("eyeWideLeft", ((0, 1),), 0.5),
    Meaning("eyeWideRight", ((1, 1),), 0.5),
    Meaning("browOuterUpLeft", ((3, 1),), 0.5),
    Meaning("browOuterUpRight", ((6, 1),), 0.5),
    Meaning("browInnerUp", ((3, 1), (6, 1)), 0.5),
    Meaning("browDownLeft", ((3, -1),), 0.5),
    Meaning("browDownRight", ((6, -1),), 0.5),
    Meaning("mouthFrownLeft", ((8, 1),), 0.5, CORNER_DEAD_ZONE),
    Meaning("mouthFrownRight", ((10, 1),), 0.5, CORNER_DEAD_ZONE),
    Meaning("mouthSmileLeft", ((8, -1), (13, 1)), 0.5, CORNER_DEAD_ZONE),
    Meaning("mouthSmileRight", ((10, -1), (13, 1)), 0.5, CORNER_DEAD_ZONE),
    Meaning("mouthStretchLeft", ((9, 1),), 0.5, CORNER_DEAD_ZONE),
    Meaning("mouthStretchRight", ((11, 1),), 0.5, CORNER_DEAD_ZONE),
    Meaning("jawOpen", ((12, 1),), 1.0),
    Meaning("mouthPucker", ((13, -1),), 0.3),
)
"""ARKit's shapes, and the features that they follow."""


def _head(quaternion: Sequence[float], depth: float) -> Vector:
    x, y, z, w = quaternion
    at_rest = BEHIND_CAMERA if depth < 0 else BEFORE_CAMERA
    face_to_camera = matrix_of(of_quaternion(-x, -y, -z, w))
    return of_matrix(MIRROR @ at_rest.T @ face_to_camera @ MIRROR)


def _gaze(points: Sequence[float], pupil: int) -> Vector:
    """Rotation of an eye: from the eyeball's centre to the pupil.

    x is to the person's right; the sender has negated y and z.
    """
    x, y, z = (points[3 * pupil + axis] - points[3 * (pupil + 2) + axis] for axis in range(3))
    return towards((-x, -y, -z))


def _weights(eyes_open: Sequence[float], features: Sequence[float]) -> list[float]:
    weights = [0.0] * len(ARKIT_NAMES)
    right_open, left_open = eyes_open
    weights[SHAPE_INDEX["eyeBlinkRight"]] = 1 - right_open
    weights[SHAPE_INDEX["eyeBlinkLeft"]] = 1 - left_open
    for meaning in MEANING:
        weights[SHAPE_INDEX[meaning.shape]] = meaning.weight(features)
    return weights


def parse(packet: bytes) -> list[Observation]:
    """Read the face of the highest confidence in a packet, or none.

    Raises:
        InputError: the bytes are not a packet of OpenSeeFace.
    """
    if not packet or len(packet) % FACE.size:
        raise InputError(
            f"an OpenSeeFace packet must be {FACE.size} bytes a face, got {len(packet)} bytes"
        )
    face = max(FACE.iter_unpack(packet), key=_confidence)
    if not face[SUCCESS] or _confidence(face) < LEAST_CONFIDENCE:
        return []
    gazes = face[CONFIDENCE][LANDMARKS:]
    right, left = (
        _gaze(face[POINTS], LANDMARKS + eye) if gazes[eye] > 0 else no_rotation()
        for eye in range(2)
    )
    return [
        arkit_observation(
            _weights(face[EYES_OPEN], face[FEATURES]),
            _head(face[QUATERNION], face[DEPTH]),
            left,
            right,
            face[TIME],
        )
    ]


def _confidence(face: Sequence[float]) -> float:
    """Mean confidence of the landmarks; -1 where the tracker has no pose.

    Raises:
        InputError: the confidence is not finite.
    """
    landmarks = np.array(face[CONFIDENCE][:LANDMARKS])
    ensure_finite("the confidence of an OpenSeeFace packet", landmarks)
    return float(landmarks.mean()) if face[SUCCESS] else -1.0


def _parser() -> Parser:
    return parse


PROTOCOL = Protocol(
    scheme="openseeface",
    description="OpenSeeFace on this or another computer (webcam)",
    port=11573,
    most_bytes=FACES_PER_DATAGRAM * FACE.size,
    fps=30.0,
    vocabulary=ARKIT,
    parser=_parser,
)
