"""Alembic: one file with the vertices, normals and colours of every frame, for Blender, Maya, Houdini and Unreal."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.optional import require

from .format import SequenceFormat
from .motion import Motion
from .outputs import NAME
from .posing import CHANNELS, Channels

EXTRA = "scene"

MARGIN = 1 << 20
"""Bytes for all that is not an array."""


class _Library:
    """The parts of the bindings that are used here."""

    def __init__(self) -> None:
        self.geometry: Any = require("alembic3d", extra=EXTRA).AbcGeom
        self.archive: Any = require("alembic3d", extra=EXTRA).Abc
        self.core: Any = require("alembic3d", extra=EXTRA).AbcCoreAbstract
        self.arrays: Any = require("imath", extra=EXTRA)
        self.vertex: Any = self.geometry.GeometryScope.kVertexScope

    def vectors(self, values: NDArray[np.float32]) -> Any:
        """[V, 3] as the library's own array, without a copy: `values` must live as long."""
        return self.arrays.V3fArrayFromBuffer(values)

    def integers(self, values: NDArray[np.int32]) -> Any:
        """Flat, as the library's own array."""
        return self.arrays.IntArrayFromBuffer(np.ascontiguousarray(values.ravel()))


def _write(path: Path, take: Motion, frames: Iterable[Channels]) -> None:
    _ensure_room(path, take)
    _write_archive(_Library(), path, take, frames)


def _ensure_room(path: Path, take: Motion) -> None:
    """Look before: a disk that fills up under the library ends the whole program, without a word that can be caught."""
    channels = len(CHANNELS) if take.colour else len(CHANNELS) - 1
    needed = len(take) * channels * take.avatar.rest.nbytes + take.avatar.faces.nbytes + MARGIN
    if shutil.disk_usage(path.parent).free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path.name)


def _write_archive(library: _Library, path: Path, take: Motion, frames: Iterable[Channels]) -> None:
    """The archive is complete when this function has let go of it."""
    archive = library.archive.OArchive(str(path))
    sampling = archive.addTimeSampling(library.core.TimeSampling(1.0 / take.fps, 0.0))
    mesh = library.geometry.OPolyMesh(archive.getTop(), NAME, sampling).getSchema()
    colours = _colours(library, mesh, sampling) if take.colour else None
    faces = take.avatar.faces[:, ::-1]  # Alembic winds clockwise
    indices, counts = (
        library.integers(faces),
        library.integers(np.full(len(faces), 3, dtype=np.int32)),
    )
    no_uv = library.geometry.OV2fGeomParamSample()
    for frame in frames:
        normals = library.geometry.ON3fGeomParamSample(
            library.vectors(frame["normals"]), library.vertex
        )
        positions = library.vectors(frame["vertices"])
        mesh.set(library.geometry.OPolyMeshSchemaSample(positions, indices, counts, no_uv, normals))
        if colours is not None:
            values = library.arrays.C3fArray(library.vectors(frame["colours"]))
            colours.set(library.geometry.OC3fGeomParamSample(values, library.vertex))


def _colours(library: _Library, mesh: Any, sampling: int) -> Any:
    """Where colours go. They stay as an image shows them: that is how Blender takes them."""
    argument = library.archive.Argument(sampling)
    return library.geometry.OC3fGeomParam(
        mesh.getArbGeomParams(), "colour", False, library.vertex, 1, argument
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
