"""FLAME over UDP, a face in one packet: `encode`, and `decode`, the reference for receivers.

`docs/flame-stream.md` is the specification. `decode` needs the standard library and numpy alone, so
that it can be copied into other programs.
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.checks import as_float32
from imavatar_deploy.errors import InputError, UsageError, unknown_name

MAGIC = b"FLMS"
VERSION = 1
MOST_BYTES = 1200
"""Largest packet of any version: it fits unfragmented into an Ethernet frame, in a VPN and over
IPv6."""

HEADER = struct.Struct("<4sBBBBB3xIdff")
"""Magic, version, flags, edition, count of weights, count of pose, 3 zeros, sequence, time, the two
scales."""
CHECKSUM = struct.Struct("<I")

EDITION_CODES = {
    "flame2017": 1,
    "flame2019": 2,
    "flame2020": 3,
    "flame2023": 4,
    "openhead": 5,
    "flame2023-no-jaw": 6,
    "flame2023-open": 7,
    "arkit52": 32,
}
"""Code of each kind of weights: a head model's expression code, or ARKit's 52 weights."""
EDITIONS = {code: name for name, code in EDITION_CODES.items()}

ARKIT = "arkit52"
ARKIT_WEIGHTS = 52
MOST_WEIGHTS = 100
"""Number of FLAME's expressions."""
POSE_VALUES = 15

ENCODINGS = {"float32": 0, "int16": 1}
"""Flags by the name of the numbers' type."""
NUMBERS: dict[int, np.dtype[Any]] = {0: np.dtype("<f4"), 1: np.dtype("<i2")}
"""Type of the numbers by flags."""
LARGEST_INT16 = 32767
SEQUENCE_MODULUS = 2**32


@dataclass(frozen=True, eq=False)
class FlamePacket:
    """The contents of one packet."""

    edition: str
    """A key of `EDITION_CODES`."""
    weights: Float32[Array, " E"]
    """[E] expression code of 1..100 values, or [52] ARKit weights; [0] where the tracker has no
    face."""
    pose: Float32[Array, " P"]
    """[15] axis-angle, radians: global, neck, jaw, eyeL, eyeR; [0] where the tracker has no
    face."""
    time: float
    """Seconds on the sender's own clock, with an arbitrary zero."""
    sequence: int
    """Number of the sender's packet, modulo 2^32."""


def decode(data: bytes) -> FlamePacket:
    """Read one packet.

    Raises:
        InputError: the bytes are no FLAME packet, or a damaged one, or of a version, edition or
            shape that this reader does not know.
    """
    if len(data) < HEADER.size + CHECKSUM.size or data[:4] != MAGIC:
        raise InputError(
            f"a FLAME packet begins with {MAGIC!r} and a header, got {len(data)} bytes {data[:4]!r}"
        )
    header = HEADER.unpack_from(data)
    _, version, flags, edition, weights, pose, sequence, time, weight_scale, pose_scale = header
    if version != VERSION:
        raise InputError(f"a FLAME packet must be of version {VERSION}, got {version}")
    if flags not in NUMBERS or edition not in EDITIONS or any(data[9:12]):
        raise InputError(
            f"a FLAME packet of unknown kind: flags {flags}, edition {edition}, "
            f"then {data[9:12].hex()}"
        )
    if not _fits(EDITIONS[edition], weights, pose):
        raise InputError(
            f"a FLAME packet of {EDITIONS[edition]} cannot have {weights} weights "
            f"and {pose} pose values"
        )
    end = HEADER.size + NUMBERS[flags].itemsize * (weights + pose)
    if len(data) != end + CHECKSUM.size:
        raise InputError(
            f"this FLAME packet must have {end + CHECKSUM.size} bytes, got {len(data)}"
        )
    if CHECKSUM.unpack_from(data, end)[0] != zlib.crc32(data[:end]):
        raise InputError("a FLAME packet was damaged on its way: its checksum does not fit")
    numbers = np.frombuffer(data, NUMBERS[flags], weights + pose, HEADER.size).astype(np.float32)
    with np.errstate(all="ignore"):  # numbers that overflow are refused below
        numbers *= np.repeat(np.array([weight_scale, pose_scale], np.float32), [weights, pose])
    if not (math.isfinite(time) and np.isfinite(numbers).all()):
        raise InputError("a FLAME packet must hold finite numbers")
    return FlamePacket(EDITIONS[edition], numbers[:weights], numbers[weights:], time, sequence)


def encode(
    edition: str,
    weights: Any,
    pose: Any,
    *,
    time: float,
    sequence: int = 0,
    encoding: str = "float32",
) -> bytes:
    """Write one packet, the inverse of `decode`.

    Args:
        edition, weights, pose: as in `FlamePacket`; both arrays are empty where there is no face.
        time: seconds on the sender's own clock.
        sequence: any integer; it is sent modulo 2^32.
        encoding: `float32` is exact; `int16` halves the numbers' size, with an error of at most
            1.6e-5 of the largest weight, or of the largest pose value.

    Raises:
        UsageError: an unknown edition or encoding, or a time that is not finite.
        InputError: a number of values that the edition does not have, or values that are not
            finite.
    """
    if edition not in EDITION_CODES:
        raise unknown_name("edition", edition, EDITION_CODES)
    if encoding not in ENCODINGS:
        raise unknown_name("encoding", encoding, ENCODINGS)
    if not math.isfinite(time):
        raise UsageError(f"the time of a packet must be finite, got {time}")
    blocks = [as_float32("weights", weights, ("E",)), as_float32("pose", pose, ("P",))]
    counts = [len(block) for block in blocks]
    if not _fits(edition, *counts):
        raise InputError(
            f"a FLAME packet of {edition} cannot have {counts[0]} weights "
            f"and {counts[1]} pose values"
        )
    flags = ENCODINGS[encoding]
    scales = [_int16_scale(block) if flags else np.float32(1) for block in blocks]
    kind = (EDITION_CODES[edition], *counts)
    head = HEADER.pack(
        MAGIC, VERSION, flags, *kind, sequence % SEQUENCE_MODULUS, time, *map(float, scales)
    )
    body = b"".join(_as(flags, block, scale) for block, scale in zip(blocks, scales, strict=True))
    return head + body + CHECKSUM.pack(zlib.crc32(head + body))


def _fits(edition: str, weights: int, pose: int) -> bool:
    """Whether an edition has so many weights and pose values; zero of both means no face."""
    if weights == pose == 0:
        return True
    known = weights == ARKIT_WEIGHTS if edition == ARKIT else 1 <= weights <= MOST_WEIGHTS
    return known and pose == POSE_VALUES


def _int16_scale(block: Float32[Array, " N"]) -> np.float32:
    """The largest value / 32767, rounded down against overflow; 1 for values near zero."""
    largest = np.abs(block).max(initial=0.0)
    return (
        np.nextafter(np.float32(largest / LARGEST_INT16), np.float32(0))
        if largest > 1e-30
        else np.float32(1)
    )


def _as(flags: int, block: Float32[Array, " N"], scale: np.float32) -> bytes:
    numbers = np.rint(block / scale).clip(-LARGEST_INT16, LARGEST_INT16) if flags else block
    return numbers.astype(NUMBERS[flags]).tobytes()
