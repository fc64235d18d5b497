"""Live Link Face (Epic's app, Apple's ARKit), `livelink://:11111`: weights, head and eyes.

    u8 version 6, i32 n, n bytes of device id, i32 m, m bytes of subject name,
    i32 frame, f32 sub-frame, i32 rate, i32 rate's denominator, u8 61, 61 x f32        (big-endian)

The 61 are ARKit's weights in Apple's order, then yaw, pitch, roll of the head and of both eyes.
Without a face the packet ends before the 61, or already before the frame.

Signs and units are not documented. Evidence for those used here:

- Unreal's AppleARKitConversion.h converts ARKit's face (right-handed; Apple: +x "the face's own
  left", +y up, +z out of the face: the model's axes) by the quaternion (-z, x, y, -w) to a
  left-handed frame in which the face looks along -X, and its AppleARKitFaceMeshConversion.h takes
  the yaw, pitch and roll of that FRotator. So the yaw is *negative* when the nose goes to the
  person's left, the pitch positive when the chin goes down, the roll *negative* when the crown goes
  to the person's right shoulder, and roll is applied first, yaw last.
- MeFaMo, written against Unreal, sends a head measured in such axes as (-yaw, pitch, -roll);
  VRCFaceTracking's module takes +LeftEyeYaw for right and -LeftEyePitch for up: the same signs from
  two more programs.
- Radians: MeFaMo sends radians, and recordings of the app agree (0.27 at some 15 degrees). Unreal's
  own plugin divided degrees by 180 instead; the app does not seem to.

Open questions: the app with Unreal's setting "FaceRelative" would negate yaw and roll and exchange
left and right *all at once*; then the avatar is a mirror image of the person, not a wrong face.
Held in landscape, the app is reported to exchange the head's axes.
"""

from __future__ import annotations

import math
import struct

from imavatar_deploy.errors import InputError
from imavatar_deploy.retarget.arkit import ARKIT, ARKIT_NAMES

from .arkit import Vector, arkit_observation, of_angles
from .observation import Observation
from .source import Parser, Protocol

VERSION = 6
LENGTH = struct.Struct(">i")
FRAME_TIME = struct.Struct(">ifii")
COUNT = len(ARKIT_NAMES) + 9
FACE_VALUES = struct.Struct(f">B{COUNT}f")

MOST_BYTES = 774
"""Unreal's MAX_BLEND_SHAPE_PACKET_SIZE with names of one byte a letter."""


def _after_text(packet: bytes, start: int) -> int:
    """The offset behind a text that begins with its length at `start`."""
    if len(packet) < start + LENGTH.size:
        raise InputError(
            f"a Live Link Face packet must name its device and subject, got {len(packet)} bytes"
        )
    (length,) = LENGTH.unpack_from(packet, start)
    end = start + LENGTH.size + int(length)
    if length < 0 or end > len(packet):
        raise InputError(
            f"a Live Link Face packet of {len(packet)} bytes cannot hold a name of {length}"
        )
    return end


def _seconds(frame: int, sub_frame: float, rate: int, denominator: int) -> float | None:
    """The time of day on the sender's clock; None without a rate (some senders send 0)."""
    if rate <= 0 or denominator <= 0 or not math.isfinite(sub_frame):
        return None
    return (frame + sub_frame) * denominator / rate


def _turn(yaw: float, pitch: float, roll: float) -> Vector:
    return of_angles(-yaw, pitch, -roll)


def parse(packet: bytes) -> list[Observation]:
    """Read the face in a packet, or none.

    Raises:
        InputError: the bytes are not a packet of Live Link Face.
    """
    if packet[:1] != bytes([VERSION]):
        raise InputError(
            f"a Live Link Face packet must begin with version {VERSION}, got {packet[:1]!r}"
        )
    head = _after_text(packet, _after_text(packet, 1))
    rest = len(packet) - head
    if rest in (0, FRAME_TIME.size):
        return []
    if rest != FRAME_TIME.size + FACE_VALUES.size or packet[head + FRAME_TIME.size] != COUNT:
        raise InputError(
            f"a Live Link Face packet must hold {COUNT} values after its names, got {rest} bytes"
        )
    values = FACE_VALUES.unpack_from(packet, head + FRAME_TIME.size)[1:]
    weights = values[: len(ARKIT_NAMES)]
    turns = values[len(ARKIT_NAMES) :]
    return [
        arkit_observation(
            weights,
            _turn(*turns[:3]),
            _turn(*turns[3:6]),
            _turn(*turns[6:]),
            _seconds(*FRAME_TIME.unpack_from(packet, head)),
        )
    ]


def _parser() -> Parser:
    return parse


PROTOCOL = Protocol(
    scheme="livelink",
    description="Live Link Face on an iPhone (ARKit)",
    port=11111,
    most_bytes=MOST_BYTES,
    fps=60.0,
    vocabulary=ARKIT,
    parser=_parser,
)
