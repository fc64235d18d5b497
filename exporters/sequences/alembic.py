"""Alembic: one file with vertices, normals and colours of every frame."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Float32, Int32
from imavatar_deploy.marking import texts
from imavatar_deploy.optional import require

from .format import SequenceFormat
from .motion import Motion
from .outputs import NAME
from .posing import CHANNELS, Channels

EXTRA = "scene"

COLOUR_NAME = "Cd"
"""Name of the colours, by which Houdini and other programs recognise them."""

COLOUR_METADATA = {"mayaColorSet": "1"}
"""Marks the colours as a colour set for Maya; 1 makes it the active one."""

MARGIN = 1 << 20
"""Bytes reserved for everything except arrays."""


class _Library:
    """Modules of Alembic's Python bindings."""

    def __init__(self) -> None:
        self.geometry: Any = require("alembic3d", extra=EXTRA).AbcGeom
        self.archive: Any = require("alembic3d", extra=EXTRA).Abc
        self.core: Any = require("alembic3d", extra=EXTRA).AbcCoreAbstract
        self.arrays: Any = require("imath", extra=EXTRA)
        self.vertex: Any = self.geometry.GeometryScope.kVertexScope

    def vectors(self, values: Float32[Array, "V 3"]) -> Any:
        """Wrap vectors as the library's array, without a copy; `values` must outlive it."""
        return self.arrays.V3fArrayFromBuffer(values)

    def integers(self, values: Int32[Array, "..."]) -> Any:
        """Convert integers to a flat array of the library."""
        return self.arrays.IntArrayFromBuffer(np.ascontiguousarray(values.ravel()))


def _write(path: Path, motion: Motion, frames: Iterable[Channels]) -> None:
    _ensure_free_space(path, motion)
    _write_archive(_Library(), path, motion, frames)


def _ensure_free_space(path: Path, motion: Motion) -> None:
    """Raise OSError if the disk is too small.

    On a full disk the library ends the whole program, without an exception.
    """
    channels = len(CHANNELS) if motion.coloured else len(CHANNELS) - 1
    frame_bytes = channels * motion.avatar.rest.nbytes
    required = len(motion) * frame_bytes + motion.avatar.faces.nbytes + MARGIN
    if shutil.disk_usage(path.parent).free < required:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path.name)


def _write_archive(
    library: _Library, path: Path, motion: Motion, frames: Iterable[Channels]
) -> None:
    """Write the archive; it is complete when the library's objects are released on return."""
    archive = library.archive.OArchive(str(path))
    sampling = archive.addTimeSampling(library.core.TimeSampling(1.0 / motion.fps, 0.0))
    if motion.synthetic_mark:
        properties = archive.getTop().getProperties()
        for name, text in texts().items():
            library.archive.OStringProperty(properties, name).setValue(text)
    mesh = library.geometry.OPolyMesh(archive.getTop(), NAME, sampling).getSchema()
    colours = _colours(library, mesh, sampling) if motion.coloured else None
    faces = motion.avatar.faces[:, ::-1]  # Alembic's faces are clockwise
    indices = library.integers(faces)
    counts = library.integers(np.full(len(faces), 3, dtype=np.int32))
    no_uv = library.geometry.OV2fGeomParamSample()
    for index, frame in enumerate(frames):
        normals = library.geometry.ON3fGeomParamSample(
            library.vectors(frame["normals"]), library.vertex
        )
        positions = library.vectors(frame["vertices"])
        mesh.set(library.geometry.OPolyMeshSchemaSample(positions, indices, counts, no_uv, normals))
        rgb = frame.get("colours", motion.neutral if index == 0 else None)
        if colours is not None and rgb is not None:  # neutral colours are a single sample
            values = library.arrays.C3fArray(library.vectors(rgb))
            colours.set(library.geometry.OC3fGeomParamSample(values, library.vertex))


def _colours(library: _Library, mesh: Any, sampling: int) -> Any:
    """The parameter of the colours, which are sRGB, as Blender expects."""
    metadata = library.core.MetaData()
    for key, value in COLOUR_METADATA.items():
        metadata.set(key, value)
    arguments = (library.archive.Argument(sampling), library.archive.Argument(metadata))
    return library.geometry.OC3fGeomParam(
        mesh.getArbGeomParams(), COLOUR_NAME, False, library.vertex, 1, *arguments
    )


FORMAT = SequenceFormat(
    "abc",
    "Alembic, one file that Blender, Maya, Houdini and Unreal read",
    ".abc",
    CHANNELS,
    whole=_write,
    modules=("alembic3d", "imath"),
    extra=EXTRA,
)
