"""PC2: the point cache of 3ds Max and Blender: a header and the vertices of every frame, little-endian."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

from .format import SequenceFormat
from .posing import Channels
from .take import Take

HEADER = struct.Struct("<12siiffi")
"""Signature, version, points, first frame, frames a sample, samples."""


def _write(path: Path, take: Take, frames: Iterable[Channels]) -> None:
    with path.open("xb") as file:
        file.write(HEADER.pack(b"POINTCACHE2\0", 1, take.avatar.vertex_count, 0.0, 1.0, len(take)))
        for frame in frames:
            file.write(frame["vertices"].astype("<f4").tobytes())


FORMAT = SequenceFormat(
    "pc2",
    "a point cache for Blender and 3ds Max, and the mesh it moves",
    ".pc2",
    ("vertices",),
    whole=_write,
    needs_mesh=True,
)
