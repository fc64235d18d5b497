"""OBJ: a text file a frame, with normals, and with colours after the coordinates or an image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.arrays import Array, Float32, Int32
from imavatar_deploy.marking import comment_lines
from imavatar_deploy.rendering.workers import kernel

from ..formats.gltf.materials import Texture
from .format import SequenceFormat
from .motion import Motion
from .posing import CHANNELS, Channels

MICROMETRES = 6
"""Digits after the point of a coordinate in metres."""

DIGITS = 4
"""Digits after the point of normals and colours.

That is a hundredth of a degree, and a fortieth of a step of eight bits.
"""

HEADER = "# metres, +Y up, facing +Z"

OBJECT = "o head"

MATERIAL = "head"

TEXTURE_DIGITS = 6
"""Digits after the point of a texture coordinate."""


def write_obj(
    path: Path, faces: Int32[Array, "F 3"], channels: Channels, synthetic_mark: bool = True
) -> None:
    """Write a mesh with normals, and with colours if the channels have them.

    Args:
        synthetic_mark: whether the file carries the mark of `imavatar_deploy.marking`.
    """
    lines = [HEADER, *comment_lines("#", synthetic_mark), OBJECT]
    with path.open("xb") as file:
        file.write(("\n".join(lines) + "\n").encode())
        file.write(_vertices(channels))
        file.write(decimal_lines("vn", channels["normals"], DIGITS))
        file.write(face_lines(faces))


def write_textured_obj(
    path: Path,
    faces: Int32[Array, "F 3"],
    channels: Channels,
    texture: Texture,
    synthetic_mark: bool = True,
) -> None:
    """Write a mesh with normals, texture coordinates, and beside it its material and image.

    Args:
        path: of the mesh; material and image have its name and the suffixes `.mtl` and `.png`.
        faces: of the mesh.
        channels: positions and normals of the vertices.
        texture: the image, whose faces have the order of `faces`.
        synthetic_mark: whether the file carries the mark of `imavatar_deploy.marking`.
    """
    material, image = path.with_suffix(".mtl"), path.with_suffix(".png")
    with image.open("xb") as file:
        file.write(texture.png)
    lines = [
        *comment_lines("#", synthetic_mark),
        f"newmtl {MATERIAL}",
        "Ka 0 0 0",
        "Kd 1 1 1",
        "Ks 0 0 0",
        "illum 0",
        f"map_Kd {image.name}",
    ]
    with material.open("x", encoding="utf-8") as text:
        text.write("\n".join(lines) + "\n")
    lines = [HEADER, *comment_lines("#", synthetic_mark), f"mtllib {material.name}", OBJECT]
    uv = np.stack([texture.uv[:, 0], 1.0 - texture.uv[:, 1]], axis=1).astype(np.float32)
    with path.open("xb") as file:
        file.write(("\n".join(lines) + "\n").encode())
        file.write(decimal_lines("v", channels["vertices"], MICROMETRES))
        file.write(decimal_lines("vt", uv, TEXTURE_DIGITS))
        file.write(decimal_lines("vn", channels["normals"], DIGITS))
        file.write(f"usemtl {MATERIAL}\n".encode())
        file.write(textured_face_lines(faces, texture.faces))


def _vertices(channels: Channels) -> bytes:
    if "colours" not in channels:
        return decimal_lines("v", channels["vertices"], MICROMETRES)
    return decimal_lines(
        "v", np.concatenate([channels["vertices"], channels["colours"]], axis=1), MICROMETRES
    )


# Numbers as text: lines of fixed-point decimals and of faces, written by compiled loops

FloatArray = NDArray[np.float32]
ByteArray = NDArray[np.uint8]
IndexArray = NDArray[np.int32]

MINUS, POINT, SPACE, SLASH, ZERO, NEWLINE = (ord(letter) for letter in "-. /0\n")

WIDTH = 22
"""Largest number of bytes of a number: sign, the digits of a 64-bit integer, point, space."""


def decimal_lines(prefix: str, rows: Float32[Array, "N K"], decimals: int) -> bytes:
    """One line for each row: the prefix, then its numbers.

    Args:
        prefix: first word of the lines.
        rows: numbers below 1e12 / 10^decimals, as those of `FramePoser` are.
        decimals: digits after the point.
    """
    lead = np.frombuffer(prefix.encode(), dtype=np.uint8)
    buffer = np.zeros(len(rows) * (len(lead) + rows.shape[1] * WIDTH + 1), dtype=np.uint8)
    return buffer[: _write_decimals(lead, rows, decimals, buffer)].tobytes()


def face_lines(faces: Int32[Array, "F 3"]) -> bytes:
    """One line `f a//a b//b c//c` for each face, with indices of vertex and normal from 1."""
    buffer = np.zeros(len(faces) * (2 + 6 * WIDTH), dtype=np.uint8)
    return buffer[: _write_faces(faces, buffer)].tobytes()


def textured_face_lines(faces: Int32[Array, "F 3"], corners: Int32[Array, "F 3"]) -> bytes:
    """One line `f a/t/a b/u/b c/v/c` for each face, with indices from 1.

    Args:
        faces: indices of vertex and normal.
        corners: indices of the texture coordinates.
    """
    buffer = np.zeros(len(faces) * (2 + 9 * WIDTH), dtype=np.uint8)
    return buffer[: _write_textured_faces(faces, corners, buffer)].tobytes()


@kernel
def _write_decimals(lead: ByteArray, rows: FloatArray, decimals: int, buffer: ByteArray) -> int:
    scale = 10.0**decimals
    at = 0
    for row in range(rows.shape[0]):
        for letter in lead:
            buffer[at] = letter
            at += 1
        for column in range(rows.shape[1]):
            buffer[at] = SPACE
            scaled = np.float64(rows[row, column]) * scale
            whole = np.int64(np.floor(np.abs(scaled) + 0.5))
            at += 1
            if scaled < 0 and whole > 0:
                buffer[at] = MINUS
                at += 1
            at = _write_number(whole, decimals, buffer, at)
        buffer[at] = NEWLINE
        at += 1
    return at


@kernel
def _write_faces(faces: IndexArray, buffer: ByteArray) -> int:
    at = 0
    for face in range(faces.shape[0]):
        buffer[at] = ord("f")
        at += 1
        for corner in range(3):
            buffer[at] = SPACE
            number = np.int64(faces[face, corner]) + 1
            at = _write_number(number, 0, buffer, at + 1)
            buffer[at] = SLASH
            buffer[at + 1] = SLASH
            at = _write_number(number, 0, buffer, at + 2)
        buffer[at] = NEWLINE
        at += 1
    return at


@kernel
def _write_textured_faces(faces: IndexArray, corners: IndexArray, buffer: ByteArray) -> int:
    at = 0
    for face in range(faces.shape[0]):
        buffer[at] = ord("f")
        at += 1
        for corner in range(3):
            buffer[at] = SPACE
            number = np.int64(faces[face, corner]) + 1
            at = _write_number(number, 0, buffer, at + 1)
            buffer[at] = SLASH
            at = _write_number(np.int64(corners[face, corner]) + 1, 0, buffer, at + 1)
            buffer[at] = SLASH
            at = _write_number(number, 0, buffer, at + 1)
        buffer[at] = NEWLINE
        at += 1
    return at


@kernel
def _write_number(whole: np.int64, decimals: int, buffer: ByteArray, at: int) -> int:
    """Write `whole / 10^decimals` at `at`, from the last digit on; return the next position."""
    digits = 1
    rest = whole // 10
    while rest > 0 or digits <= decimals:
        rest //= 10
        digits += 1
    length = digits + (1 if decimals > 0 else 0)
    rest = whole
    for place in range(digits):
        offset = digits - 1 - place
        if decimals > 0 and place < decimals:
            offset += 1
        buffer[at + offset] = ZERO + rest % 10
        rest //= 10
    if decimals > 0:
        buffer[at + digits - decimals] = POINT
    return at + length


# The format


def _write_frame(path: Path, motion: Motion, channels: Channels) -> None:
    write_obj(path, motion.avatar.faces, channels, motion.synthetic_mark)


FORMAT = SequenceFormat(
    "obj",
    "a Wavefront text file a frame, which every program reads",
    ".obj",
    CHANNELS,
    per_frame=_write_frame,
)
