"""Faces as packets for other programs: the VMC protocol (OSC) and Live Link Face.

Both carry ARKit's 52 weights and the rotations of head and eyes. VSeeFace, Warudo, VMagicMirror and
other programs of virtual characters receive VMC, Unreal receives Live Link Face. The signs and
units are those that the sources `osc://` and `livelink://` read.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from imavatar_deploy.arrays import Array, Float32, Float64
from imavatar_deploy.errors import UsageError
from imavatar_deploy.kinematics import product, quaternions
from imavatar_deploy.retarget.arkit import ARKIT, ARKIT_NAMES, EYE_TURNS
from imavatar_deploy.retarget.openhead_codes import arkit_of_openhead

# Faces


@dataclass(frozen=True, eq=False)
class ArkitFace:
    """A face to send."""

    weights: Float32[Array, "52"]  # ARKit's, 0..1
    turns: Float64[Array, "3 4"]  # quaternions w x y z of head, left and right eye, model axes
    time: float
    """Seconds since the start."""
    number: int
    """Number of the frame."""


def arkit_face(
    vocabulary: str,
    weights: Float32[Array, " n"],
    pose: Float32[Array, "15"],
    time: float,
    number: int,
) -> ArkitFace:
    """Return a face of ARKit's weights, or of OpenHead's codes, which are ARKit's shapes.

    The eyes turn by their own rotations and those of the eyeLook shapes.

    Raises:
        UsageError: the codes are of another head model.
    """
    if vocabulary == "openhead":
        weights, pose = arkit_of_openhead(weights, pose)
        gaze = pose[9:] + EYE_TURNS.T @ weights
    elif vocabulary == ARKIT:
        gaze = pose[9:] if pose[9:].any() else EYE_TURNS.T @ weights
    else:
        raise UsageError(
            f"these codes are of {vocabulary}, and other programs read ARKit's shapes: send a "
            "track of openhead or a recording of ARKit, or send to udp://"
        )
    bones = quaternions(np.concatenate([pose[:6], gaze]).astype(np.float64))
    turns = np.stack([product(bones[0], bones[1]), bones[2], bones[3]])
    return ArkitFace(np.clip(weights, 0, 1).astype(np.float32), turns, time, number)


# VMC protocol

BUNDLE = b"#bundle\0" + struct.pack(">Q", 1)
"""Start of a bundle that is to be processed at once."""

BUNDLE_BYTES = 1200
"""Largest bundle, which fits unfragmented into an Ethernet frame."""

VMC_BONES = ("Head", "LeftEye", "RightEye")

PRESETS = {"Blink_L": "eyeBlinkLeft", "Blink_R": "eyeBlinkRight", "A": "jawOpen"}
"""VRM's presets that are sent beside "Perfect Sync", for avatars without it."""


def _padded(text: bytes) -> bytes:
    return text + bytes(4 - len(text) % 4)


def osc_message(address: str, *arguments: str | float | int) -> bytes:
    """Return an OSC message (https://opensoundcontrol.stanford.edu/spec-1_0.html)."""
    tags = ","
    body = b""
    for argument in arguments:
        if isinstance(argument, str):
            tags += "s"
            body += _padded(argument.encode())
        elif isinstance(argument, int):
            tags += "i"
            body += struct.pack(">i", argument)
        else:
            tags += "f"
            body += struct.pack(">f", argument)
    return _padded(address.encode()) + _padded(tags.encode()) + body


def vmc_packets(face: ArkitFace) -> list[bytes]:
    """Return the bundles of a face; the last one applies it."""
    values = dict(zip(ARKIT_NAMES, map(float, face.weights), strict=True))
    messages = [osc_message("/VMC/Ext/OK", 1), osc_message("/VMC/Ext/T", face.time)]
    for name, (w, x, y, z) in zip(VMC_BONES, face.turns.tolist(), strict=True):
        # Unity's axes are the model's with x mirrored
        messages.append(osc_message("/VMC/Ext/Bone/Pos", name, 0.0, 0.0, 0.0, x, -y, -z, w))
    messages += [osc_message("/VMC/Ext/Blend/Val", name, value) for name, value in values.items()]
    messages += [
        osc_message("/VMC/Ext/Blend/Val", preset, values[name]) for preset, name in PRESETS.items()
    ]
    messages.append(osc_message("/VMC/Ext/Blend/Apply"))
    return _bundles(messages)


def _bundles(messages: Sequence[bytes]) -> list[bytes]:
    bundles = [BUNDLE]
    for message in messages:
        element = struct.pack(">i", len(message)) + message
        if len(bundles[-1]) + len(element) > BUNDLE_BYTES:
            bundles.append(BUNDLE)
        bundles[-1] += element
    return bundles


# Live Link Face

SUBJECT = b"imavatar"
"""Name under which Unreal lists the sender."""

DEVICE = b"imavatar-send"

FRAME_RATE = 60
"""Rate of the timecode, frames a second."""


def live_link_packets(face: ArkitFace) -> list[bytes]:
    """Return the packet of a face."""
    angles = [angle for turn in face.turns for angle in _angles(turn)]
    count = len(face.weights) + len(angles)
    frame, sub_frame = divmod(face.time * FRAME_RATE, 1.0)
    names = b"".join(struct.pack(">i", len(name)) + name for name in (DEVICE, SUBJECT))
    timecode = struct.pack(">ifii", int(frame) % 2**31, sub_frame, FRAME_RATE, 1)
    values = struct.pack(f">B{count}f", count, *map(float, face.weights), *angles)
    return [b"\x06" + names + timecode + values]


def _angles(turn: Float64[Array, "4"]) -> tuple[float, float, float]:
    """Yaw, pitch and roll of a rotation Ry Rx Rz, with the signs of Live Link Face."""
    w, x, y, z = turn.tolist()
    left = math.atan2(2 * (x * z + w * y), 1 - 2 * (x * x + y * y))
    down = math.asin(min(1.0, max(-1.0, 2 * (w * x - y * z))))
    shoulder = math.atan2(2 * (x * y + w * z), 1 - 2 * (x * x + z * z))
    return -left, down, -shoulder


PACKETS: dict[str, Callable[[ArkitFace], list[bytes]]] = {
    "osc": vmc_packets,
    "livelink": live_link_packets,
}
"""Packets of a face by the scheme of the receiver's address."""

PORTS = {"osc": 39539, "livelink": 11111}
"""Port that receivers listen at by default."""
