"""PLY: a binary file a frame, with normals and eight-bit colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from imavatar_deploy.arrays import Array, Float32, Int32, Shaped, UInt8
from imavatar_deploy.marking import comment_lines

from .format import SequenceFormat
from .motion import Motion
from .posing import CHANNELS, Channels

PROPERTY_NAMES = {
    "vertices": ("x", "y", "z"),
    "normals": ("nx", "ny", "nz"),
    "colours": ("red", "green", "blue"),
}
"""Channel -> names of its components in the file."""

TYPES = {"vertices": ("float", "<f4"), "normals": ("float", "<f4"), "colours": ("uchar", "u1")}
"""Channel -> type of its components in the file and in numpy."""


def write_ply(
    path: Path, faces: Int32[Array, "F 3"], channels: Channels, synthetic_mark: bool = True
) -> None:
    """Write a mesh with all of its channels, and the mark of `imavatar_deploy.marking` or not."""
    with path.open("xb") as file:
        file.write(_header(channels, len(faces), synthetic_mark))
        file.write(_vertex_rows(channels).tobytes())
        file.write(_face_rows(faces).tobytes())


def _header(channels: Channels, faces: int, synthetic_mark: bool) -> bytes:
    lines = ["ply", "format binary_little_endian 1.0", "comment metres, +Y up, facing +Z"]
    lines += comment_lines("comment", synthetic_mark)
    lines.append(f"element vertex {len(channels['vertices'])}")
    lines += [
        f"property {TYPES[channel][0]} {name}"
        for channel in channels
        for name in PROPERTY_NAMES[channel]
    ]
    lines += [f"element face {faces}", "property list uchar int vertex_indices", "end_header"]
    return ("\n".join(lines) + "\n").encode()


def _vertex_rows(channels: Channels) -> Shaped[Array, " V"]:
    layout = [(channel, TYPES[channel][1], 3) for channel in channels]
    rows = np.zeros(len(channels["vertices"]), dtype=layout)
    for channel, values in channels.items():
        rows[channel] = eight_bits(values) if channel == "colours" else values
    return rows


def _face_rows(faces: Int32[Array, "F 3"]) -> Shaped[Array, " F"]:
    rows = np.zeros(len(faces), dtype=[("count", "u1"), ("corners", "<i4", 3)])
    rows["count"] = 3
    rows["corners"] = faces
    return rows


def eight_bits(colours: Float32[Array, "V 3"]) -> UInt8[Array, "V 3"]:
    """Convert colours from 0..1 to 0..255."""
    return np.asarray(np.rint(np.clip(colours, 0, 1) * 255), dtype=np.uint8)


def _write_frame(path: Path, motion: Motion, channels: Channels) -> None:
    write_ply(path, motion.avatar.faces, channels, motion.synthetic_mark)


FORMAT = SequenceFormat(
    "ply",
    "a binary file a frame, small and quick to read",
    ".ply",
    CHANNELS,
    per_frame=_write_frame,
)
