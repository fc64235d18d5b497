"""MDD: the point cache of LightWave, Blender and others: the time and the vertices of every frame, big-endian."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from .format import SequenceFormat
from .posing import Channels
from .take import Take

HEADER = struct.Struct(">ii")
"""Frames and points; the times in seconds follow."""


def _write(path: Path, take: Take, frames: Iterable[Channels]) -> None:
    with path.open("xb") as file:
        file.write(HEADER.pack(len(take), take.avatar.vertex_count))
        file.write((np.arange(len(take)) / take.fps).astype(">f4").tobytes())
        for frame in frames:
            file.write(frame["vertices"].astype(">f4").tobytes())


FORMAT = SequenceFormat(
    "mdd",
    "a point cache for Blender and LightWave, and the mesh it moves",
    ".mdd",
    ("vertices",),
    whole=_write,
    needs_mesh=True,
)
