"""Point caches: PC2 (3ds Max, Blender) and MDD (LightWave, Blender)."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from .format import SequenceFormat
from .motion import Motion
from .posing import Channels

# PC2: a header and the vertices of every frame, little-endian

PC2_HEADER = struct.Struct("<12siiffi")
"""Signature, version, points, first frame, frames a sample, samples."""


def _write_pc2(path: Path, motion: Motion, frames: Iterable[Channels]) -> None:
    points = motion.avatar.vertex_count
    with path.open("xb") as file:
        file.write(PC2_HEADER.pack(b"POINTCACHE2\0", 1, points, 0.0, 1.0, len(motion)))
        for frame in frames:
            file.write(frame["vertices"].astype("<f4").tobytes())


PC2 = SequenceFormat(
    "pc2",
    "a point cache for Blender and 3ds Max, and the mesh it moves",
    ".pc2",
    ("vertices",),
    whole=_write_pc2,
    needs_mesh=True,
)


# MDD: a header, and time and vertices of every frame, big-endian

MDD_HEADER = struct.Struct(">ii")
"""Frames and points; the times of the frames, in seconds, follow."""


def _write_mdd(path: Path, motion: Motion, frames: Iterable[Channels]) -> None:
    with path.open("xb") as file:
        file.write(MDD_HEADER.pack(len(motion), motion.avatar.vertex_count))
        file.write((np.arange(len(motion)) / motion.fps).astype(">f4").tobytes())
        for frame in frames:
            file.write(frame["vertices"].astype(">f4").tobytes())


MDD = SequenceFormat(
    "mdd",
    "a point cache for Blender and LightWave, and the mesh it moves",
    ".mdd",
    ("vertices",),
    whole=_write_mdd,
    needs_mesh=True,
)
