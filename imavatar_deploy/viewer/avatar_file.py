"""The file `avatar.bin` of the web format: an avatar and its student, written and read back.

    bytes 0..3    IMAV
    bytes 4..7    version, unsigned, little-endian
    bytes 8..11   length of the header in bytes, likewise
    header        JSON: sizes, names, camera, and the arrays in their order with coding and step
    payload       gzip of the arrays, one after another

An array is `float32` (little-endian), `predicted` (whole multiples of `step`, `coding.zigzag` of
`coding.EarlierNeighbours.differences`, in byte planes, `[channels, V]`) or `faces`
(`coding.face_codes` in byte planes). The first row of the skinning weights is not stored: columns
sum to one. The viewer decodes the same in `imavatar_deploy/viewer/source/model.ts`.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from imavatar_deploy.arrays import Array, Float32, Int64
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.camera import Camera
from imavatar_deploy.conventions import (
    BONES,
    CONDITION_SIZE,
    POSE_FEATURE_SIZE,
    UNITS_PER_METRE,
)
from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.student import SHAPES as STUDENT_SHAPES
from imavatar_deploy.student import Student

from .coding import (
    EarlierNeighbours,
    face_codes,
    faces_of_codes,
    from_planes,
    from_zigzag,
    mesh_order,
    to_planes,
    zigzag,
)

MAGIC = b"IMAV"
VERSION = 1
PREFIX = struct.Struct("<4sII")

WIDTHS = (16, 32)
"""Widths of students that fit into the vertex attributes of WebGL 2, of which there are 16."""

MILLIMETRE = UNITS_PER_METRE / 1000

STEPS = {
    "rest": 0.02 * MILLIMETRE,
    "expression_basis": 0.03 * MILLIMETRE,
    "pose_basis": 0.03 * MILLIMETRE,
    "normal_detail": 1 / 128,
    "skin_weights": 1 / 4096,
    "features": 1 / 32,
}
"""Array -> difference of neighbouring values. On the bundled avatar all together move no vertex of
the reference poses by more than 0.1 mm, and the colours agree to 50 dB."""

GZIP = 31
"""The `wbits` of zlib for gzip streams. Their header has no time: equal input gives equal bytes."""

MAX_VERTICES = 1 << 20
MAX_PAYLOAD = 1 << 29

STUDENT_WEIGHTS = tuple(name for name in STUDENT_SHAPES if name != "features")


class PackedArray(NamedTuple):
    """One array in the payload."""

    name: str
    coding: str
    channels: int
    planes: int
    step: float
    data: bytes

    def entry(self) -> dict[str, Any]:
        """Its entry in the header."""
        return {name: value for name, value in self._asdict().items() if name != "data"}


@dataclass(frozen=True)
class WebFile:
    """The bytes of a file, and the size of its parts."""

    data: bytes
    vertices: Int64[Array, " U"]
    """Index in the avatar of each vertex of the file."""
    sizes: Mapping[str, Mapping[str, int]]
    """Array -> `raw` bytes (float32 and int32), `coded` bytes, and what these add
    to the `compressed` stream."""


def encode(
    avatar: Avatar, student: Student, camera: Camera, facts: Mapping[str, Any] | None = None
) -> WebFile:
    """Write an avatar and its student.

    Args:
        camera: the view in which a page shows the avatar first.
        facts: JSON-ready entries of the header, such as the licence.

    Raises:
        UsageError: the student is wider than the viewer can draw.
    """
    if student.width not in WIDTHS:
        raise UsageError(
            f"the format web draws students of width {' or '.join(map(str, WIDTHS))}, "
            f"got {student.width}: give --student {WIDTHS[-1]}"
        )
    faces, vertices = mesh_order(avatar.faces)
    parts = list(_parts(avatar, student, faces, vertices))
    compressed = list(_compressed(part.data for part in parts))
    header = {
        "head_model": avatar.edition,
        "expression_names": list(avatar.expression_names),
        "vertices": len(vertices),
        "faces": len(faces),
        "bones": avatar.bone_count,
        "width": student.width,
        "payload_bytes": sum(len(part.data) for part in parts),
        "camera": {
            "world_to_camera": camera.world_to_camera.ravel().tolist(),
            "intrinsics": camera.intrinsics.tolist(),
        },
        "arrays": [part.entry() for part in parts],
        **(facts or {}),
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    prefix = PREFIX.pack(MAGIC, VERSION, len(text))
    rows = {"faces": len(faces), "predicted": len(vertices), "float32": 1}
    sizes = {
        part.name: {
            "raw": 4 * part.channels * rows[part.coding],
            "coded": len(part.data),
            "compressed": len(stream),
        }
        for part, stream in zip(parts, compressed, strict=True)
    }
    return WebFile(b"".join([prefix, text, *compressed]), vertices, sizes)


def _compressed(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Compress all parts into one gzip stream; return the bytes that belong to each."""
    stream = zlib.compressobj(9, wbits=GZIP)
    blocks = [stream.compress(part) + stream.flush(zlib.Z_SYNC_FLUSH) for part in parts]
    yield from blocks[:-1]
    yield blocks[-1] + stream.flush()


def _parts(
    avatar: Avatar, student: Student, faces: Int64[Array, "F 3"], vertices: Int64[Array, " U"]
) -> Iterator[PackedArray]:
    data, planes = to_planes(face_codes(faces))
    yield PackedArray("faces", "faces", 3, planes, 1, data)
    neighbours = EarlierNeighbours.of(faces, len(vertices))
    predicted = {
        "rest": avatar.rest,
        "expression_basis": avatar.expression_basis,
        "pose_basis": avatar.pose_basis,
        "normal_detail": avatar.normal_detail,
        "skin_weights": avatar.skin_weights[1:],
        "features": student.features.T,
    }
    for name, array in predicted.items():
        rows = array.reshape(-1, avatar.vertex_count)[:, vertices]
        whole = np.rint(rows.astype(np.float64) / STEPS[name]).astype(np.int64)
        data, planes = to_planes(zigzag(neighbours.differences(whole)))
        yield PackedArray(name, "predicted", len(rows), planes, STEPS[name], data)
    exact = {"joints_rest": avatar.joints_rest, "joint_basis": avatar.joint_basis}
    exact |= {name: getattr(student, name) for name in STUDENT_WEIGHTS}
    for name, array in exact.items():
        yield PackedArray(name, "float32", array.size, 4, 1, array.astype("<f4").tobytes())


class WebAvatar(NamedTuple):
    """What a file holds. The avatar has no texture code, and no canonical positions but `rest`."""

    avatar: Avatar
    student: Student
    camera: Camera
    header: Mapping[str, Any]


def decode(data: bytes) -> WebAvatar:
    """Read the bytes of a file.

    Raises:
        InputError: they are not such a file of this version, or damaged.
    """
    if len(data) < PREFIX.size or data[:4] != MAGIC:
        raise InputError("this is not an avatar file of imavatar-export --format web")
    _, version, length = PREFIX.unpack_from(data)
    if version != VERSION:
        raise InputError(
            f"the avatar file has version {version}, this program reads {VERSION}; "
            "export the avatar again"
        )
    try:
        header = json.loads(data[PREFIX.size : PREFIX.size + length])
        payload = _decompressed(data[PREFIX.size + length :], header["payload_bytes"])
        return _assembled(header, _arrays(header, payload))
    except (ValueError, KeyError, TypeError, IndexError, zlib.error, RecursionError) as error:
        raise InputError(
            f"the avatar file is damaged or incomplete ({error!r}); export the avatar again"
        ) from error


def _decompressed(data: bytes, size: int) -> bytes:
    if not 0 < size <= MAX_PAYLOAD:
        raise ValueError(f"a payload of {size} bytes")
    stream = zlib.decompressobj(wbits=GZIP)
    payload = stream.decompress(data, size + 1)
    if len(payload) != size or not stream.eof:
        raise ValueError("the payload has another length")
    return payload


def _arrays(header: Mapping[str, Any], payload: bytes) -> dict[str, Any]:
    vertices, face_count = int(header["vertices"]), int(header["faces"])
    if not (0 < vertices <= MAX_VERTICES and 0 < face_count <= 2 * MAX_VERTICES):
        raise ValueError(f"{vertices} vertices, {face_count} faces")
    arrays: dict[str, Any] = {}
    neighbours: EarlierNeighbours | None = None
    offset = 0
    for entry in header["arrays"]:
        name, coding, channels = entry["name"], entry["coding"], entry["channels"]
        rows = {"faces": face_count, "predicted": vertices, "float32": 1}[coding]
        size = channels * rows * entry["planes"]
        if offset + size > len(payload):
            raise ValueError(f"{name} ends after the payload")
        block = np.frombuffer(payload, np.uint8, size, offset)
        offset += size
        if coding == "float32":
            arrays[name] = block.view("<f4").astype(np.float32)
            continue
        codes = from_planes(block, entry["planes"])
        if coding == "faces":
            arrays[name] = faces_of_codes(codes)
            neighbours = EarlierNeighbours.of(_checked(arrays[name], vertices), vertices)
        elif neighbours is not None:
            whole = neighbours.values(from_zigzag(codes.reshape(channels, rows)))
            arrays[name] = (whole * entry["step"]).astype(np.float32)
    if offset != len(payload):
        raise ValueError("the payload is longer than its arrays")
    return arrays


def _checked(faces: Int64[Array, "F 3"], vertices: int) -> Int64[Array, "F 3"]:
    if faces.min() < 0 or faces.max() != vertices - 1:
        raise ValueError(f"faces name vertices {faces.min()}..{faces.max()} of {vertices}")
    return faces


def _assembled(header: Mapping[str, Any], arrays: dict[str, Any]) -> WebAvatar:
    vertices, width = header["vertices"], header["width"]
    expressions = len(header["expression_names"])
    shapes = {
        "rest": (3, vertices),
        "expression_basis": (expressions, 3, vertices),
        "pose_basis": (POSE_FEATURE_SIZE, 3, vertices),
        "normal_detail": (3, vertices),
        "joints_rest": (len(BONES), 3),
        "joint_basis": (expressions, len(BONES), 3),
    }
    fields: dict[str, Any] = {name: arrays[name].reshape(shape) for name, shape in shapes.items()}
    avatar = Avatar(
        **fields,
        canonical=fields["rest"],
        faces=arrays["faces"].astype(np.int32),
        skin_weights=_with_first(arrays["skin_weights"]),
        texture_code=np.zeros((vertices, 1), dtype=np.float32),
        edition=header["head_model"],
        expression_names=tuple(header["expression_names"]),
    )
    sizes = {"H": width, CONDITION_SIZE: CONDITION_SIZE, 3: 3}
    weights = {
        name: arrays[name].reshape([sizes[size] for size in STUDENT_SHAPES[name]])
        for name in STUDENT_WEIGHTS
    }
    student = Student(features=np.ascontiguousarray(arrays["features"].T), **weights)
    view = header["camera"]
    camera = Camera(
        np.array(view["world_to_camera"], dtype=np.float32).reshape(3, 4),
        np.array(view["intrinsics"], dtype=np.float32),
    )
    return WebAvatar(avatar, student, camera, header)


def _with_first(rows: Float32[Array, "_ V"]) -> Float32[Array, "J V"]:
    """Skinning weights with the first row, which is what the others leave of one."""
    return np.concatenate([1 - rows.sum(axis=0, keepdims=True), rows]).astype(np.float32)
