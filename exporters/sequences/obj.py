"""OBJ: a text file a frame, with normals and, as most programs read them, colours behind the coordinates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .format import SequenceFormat
from .motion import Take
from .posing import CHANNELS, Channels
from .text import decimal_lines, face_lines

MICROMETRES = 6
"""Digits after the point of a coordinate in metres."""

DIGITS = 4
"""Of normals and colours: a hundredth of a degree, a fortieth of a step of eight bits."""

HEADER = b"# metres, +Y up, facing +Z\no head\n"


def write_obj(path: Path, faces: NDArray[np.int32], channels: Channels) -> None:
    """Write a mesh with normals and perhaps colours."""
    with path.open("xb") as file:
        file.write(HEADER)
        file.write(_vertices(channels))
        file.write(decimal_lines("vn", channels["normals"], DIGITS))
        file.write(face_lines(faces))


def _vertices(channels: Channels) -> bytes:
    if "colours" not in channels:
        return decimal_lines("v", channels["vertices"], MICROMETRES)
    return decimal_lines(
        "v", np.concatenate([channels["vertices"], channels["colours"]], axis=1), MICROMETRES
    )


def _write_frame(path: Path, take: Take, channels: Channels) -> None:
    write_obj(path, take.avatar.faces, channels)


FORMAT = SequenceFormat(
    "obj",
    "a Wavefront text file a frame, which every program reads",
    ".obj",
    CHANNELS,
    per_frame=_write_frame,
)
