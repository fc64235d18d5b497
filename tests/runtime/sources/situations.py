"""Positions of a head with the expected nose and crown, and packets by each tracker's sources."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from math import cos, radians, sin

import numpy as np
from numpy.typing import NDArray
from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message_builder import OscMessageBuilder
from scipy.spatial.transform import Rotation

from imavatar_deploy.kinematics import rotations
from imavatar_deploy.runtime.sources.observation import Observation

Vector = tuple[float, float, float]


def degrees_sin(angle: float) -> float:
    return sin(radians(angle))


def degrees_cos(angle: float) -> float:
    return cos(radians(angle))


NOSE_AND_CROWN: dict[str, tuple[Vector, Vector]] = {
    "straight": ((0, 0, 1), (0, 1, 0)),
    "turned to the person's left by 30": ((degrees_sin(30), 0, degrees_cos(30)), (0, 1, 0)),
    "chin down by 20": (
        (0, -degrees_sin(20), degrees_cos(20)),
        (0, degrees_cos(20), degrees_sin(20)),
    ),
    "tilted to the person's left shoulder by 10": (
        (0, 0, 1),
        (degrees_sin(10), degrees_cos(10), 0),
    ),
}
"""Model axes: +X is the person's left, +Y up, +Z out of the face."""

TURNED, DOWN, TILTED = list(NOSE_AND_CROWN)[1:]

EYES_LEFT: Vector = (degrees_sin(15), 0, degrees_cos(15))
"""Direction of both eyes that look to the person's left by 15 degrees."""


def moved(observation: Observation, bone: int, vector: Sequence[float]) -> NDArray[np.float32]:
    """A vector rotated by a bone (0 global, 3 and 4 the eyes) of the observed pose."""
    return rotations(observation.pose)[bone] @ np.asarray(vector, dtype=np.float32)


def assert_head(observation: Observation, situation: str) -> None:
    nose, crown = NOSE_AND_CROWN[situation]
    np.testing.assert_allclose(moved(observation, 0, (0, 0, 1)), nose, atol=1e-5)
    np.testing.assert_allclose(moved(observation, 0, (0, 1, 0)), crown, atol=1e-5)
    assert not observation.pose[3:9].any(), "neck and jaw"


def assert_gaze(observation: Observation, gaze: Vector) -> None:
    for eye in (3, 4):
        np.testing.assert_allclose(moved(observation, eye, (0, 0, 1)), gaze, atol=1e-5)


def live_link_packet(
    values: Sequence[float], frame: tuple[int, float, int, int] = (90, 0.5, 60, 1)
) -> bytes:
    device = b"ABCDEF01-0123-4567-89AB-CDEF01234567"
    subject = "iPhone von Zoë".encode()
    names = struct.pack(">Bi", 6, len(device)) + device + struct.pack(">i", len(subject)) + subject
    return (
        names
        + struct.pack(">ifii", *frame)
        + struct.pack(f">B{len(values)}f", len(values), *values)
    )


def open_see_face(
    face_axes_in_camera: NDArray[np.float64] | None = None,
    features: Sequence[float] = (0.0,) * 14,
    eyes_open: Sequence[float] = (1.0, 1.0),
    gaze: Vector = (0.0, 0.0, 1.0),
    confidence: float = 0.8,
    success: int = 1,
    time: float = 1000.25,
    depth: float = -4.0,
) -> bytes:
    """One face.

    The axes are the person's right, up and out of the face, in image-down, image-right, away.
    """
    axes = open_see_face_axes("straight") if face_axes_in_camera is None else face_axes_in_camera
    x, y, z, w = Rotation.from_matrix(axes).inv().as_quat()
    points = np.zeros((70, 3))
    points[68:] = (0.25, -0.28, 0.25), (-0.25, -0.28, 0.25)
    points[66:68] = points[68:] + 0.1 * np.array([-gaze[0], -gaze[1], -gaze[2]])
    return struct.pack(
        "<di2f2fBf4f3f3f68f136f210f14f",
        *(
            time,
            0,
            640.0,
            360.0,
            *eyes_open,
            success,
            5.0,
            x,
            y,
            z,
            w,
            180.0,
            0.0,
            90.0,
            0.0,
            0.0,
            depth,
        ),
        *([confidence] * 68),
        *([100.0] * 136),
        *points.ravel(),
        *features,
    )


def open_see_face_axes(situation: str, behind: bool = True) -> NDArray[np.float64]:
    """A person in front of a camera: the person's left is right in the image, up is up.

    Out of the face is towards the camera. The tracker finds the face behind the camera, where the
    image is rotated by half a turn.
    """
    nose, crown = (np.array(vector) for vector in NOSE_AND_CROWN[situation])
    own_right = -np.cross(crown, nose)
    axes = np.stack(
        [np.array([-axis[1], axis[0], -axis[2]]) for axis in (own_right, crown, nose)], axis=1
    )
    return np.diag([-1.0, -1.0, 1.0]) @ axes if behind else axes


def osc(address: str, *arguments: object) -> OscMessageBuilder:
    builder = OscMessageBuilder(address)
    for argument in arguments:
        builder.add_arg(argument)  # type: ignore[arg-type]
    return builder


def osc_packet(*messages: tuple[object, ...]) -> bytes:
    """All messages in one bundle, the first half of them in a bundle within it."""
    outer = OscBundleBuilder(IMMEDIATELY)
    inner = OscBundleBuilder(IMMEDIATELY)
    half = len(messages) // 2
    for place, (address, *arguments) in enumerate(messages):
        (inner if place < half else outer).add_content(osc(str(address), *arguments).build())
        if place + 1 == half:
            outer.add_content(inner.build())
    return outer.build().dgram


def vmc_bone(name: str, axis: Vector, angle: float) -> tuple[object, ...]:
    """Unity: +x is the avatar's right, +y up, +z its front; the usual formula of a quaternion."""
    x, y, z, w = Rotation.from_rotvec(np.array(axis) * radians(angle)).as_quat()
    return ("/VMC/Ext/Bone/Pos", name, 0.0, 0.1, 0.0, float(x), float(y), float(z), float(w))


VMC_FRAME: tuple[tuple[object, ...], ...] = (
    ("/VMC/Ext/OK", 1, 3, 0, 1),
    ("/VMC/Ext/T", 12.5),
    ("/VMC/Ext/Root/Pos", "root", *[0.0] * 13),
    vmc_bone("Head", (0, 1, 0), -30),
    ("/VMC/Ext/Blend/Val", "BrowInnerUp", 0.25),
    ("/VMC/Ext/Blend/Val", "jawOpen", 0.5),
    ("/VMC/Ext/Blend/Apply",),
)

IFACIALMOCAP = (
    "mouthSmile_R-12|browInnerUp-25|jawOpen-50|trackingStatus-1|1|=head#0,30,0,-0.03,-0.1,-0.66|rightEye#0,15,0"
    "|leftEye#0,15,0|34903,-1.6660284,-0.17520553|"
)

SAMPLES: dict[str, Callable[[], bytes]] = {
    "livelink": lambda: live_link_packet([0.5] * 61),
    "openseeface": lambda: open_see_face() + open_see_face(confidence=0.5),
    "osc": lambda: osc_packet(*VMC_FRAME),
    "ifacialmocap": IFACIALMOCAP.encode,
}
"""A complete packet of each protocol, for tests that damage it."""
