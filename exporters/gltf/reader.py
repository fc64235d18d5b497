"""A GLB read back: pygltflib parses the structure, accessors become arrays, sparse ones filled in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.errors import InputError
from imavatar_deploy.optional import require

Array = NDArray[Any]

TYPES = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
DTYPES = {5121: np.uint8, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}


class GlbFile:
    """The structure of a GLB and its arrays.

    Raises:
        InputError: the file is no GLB that pygltflib can read.
    """

    def __init__(self, path: Path) -> None:
        library = require("pygltflib", extra="gltf")
        try:
            self.structure = library.GLTF2().load_binary(str(path))
            self._blob = self.structure.binary_blob()
        except Exception as error:  # on damaged bytes struct, json and dataclasses raise their own
            raise InputError(f"{path} is not a readable GLB ({error!r}); export it again") from error

    def array(self, accessor: int) -> Array:
        """[N] or [N, C] values of an accessor, normalised integers as 0..1."""
        entry = self.structure.accessors[accessor]
        size, dtype = TYPES[entry.type], _dtype(entry.componentType)
        values = self._values(entry.bufferView, entry.byteOffset, dtype, entry.count * size).reshape(-1, size).copy()
        if entry.sparse is not None:
            where, what = entry.sparse.indices, entry.sparse.values
            kind = _dtype(where.componentType)
            rows = self._values(where.bufferView, where.byteOffset, kind, entry.sparse.count)
            filled = self._values(what.bufferView, what.byteOffset, dtype, entry.sparse.count * size)
            values[rows] = filled.reshape(-1, size)
        scaled = values / float(np.iinfo(dtype).max) if entry.normalized else values
        return scaled[:, 0] if size == 1 else scaled

    def image(self) -> bytes:
        """The first image, as it is stored."""
        view = self.structure.bufferViews[self.structure.images[0].bufferView]
        start = view.byteOffset or 0
        return bytes(self._blob[start : start + view.byteLength])

    def _values(self, view: int | None, offset: int | None, dtype: np.dtype[Any], count: int) -> Array:
        if view is None:
            return np.zeros(count, dtype=dtype)
        start = (self.structure.bufferViews[view].byteOffset or 0) + (offset or 0)
        return np.frombuffer(self._blob, dtype, count, start)


def _dtype(component: int) -> np.dtype[Any]:
    """Of a `componentType`."""
    return np.dtype(DTYPES[component])
