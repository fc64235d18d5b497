"""The GLB container: arrays become accessors in one buffer, JSON and buffer become one file (glTF 2.0).

Written with json and struct: the libraries at hand keep the structure (pygltflib) or the plain mesh (trimesh) and leave
the packing of skins, sparse morph targets and clips to their user. What reads the file back is pygltflib.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Json = dict[str, Any]

COMPONENTS = {
    np.dtype(np.uint8): 5121,
    np.dtype(np.uint16): 5123,
    np.dtype(np.uint32): 5125,
    np.dtype(np.float32): 5126,
}
SHAPES = {(): "SCALAR", (2,): "VEC2", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}
VERTICES, INDICES = 34962, 34963
"""What a buffer view holds, for those who upload it to a GPU."""


class Container:
    """A glTF document that grows: `add` and `add_sparse` give indices of accessors, `write` makes the file."""

    def __init__(self, document: Json) -> None:
        self.document = document
        self._accessors: list[Json] = document.setdefault("accessors", [])
        self._views: list[Json] = document.setdefault("bufferViews", [])
        self._bytes = bytearray()

    def add(
        self,
        array: Array,
        *,
        target: int | None = None,
        normalised: bool = False,
        bounds: bool = False,
    ) -> int:
        """Index of a new accessor of `array` `[N, ...]`.

        Args:
            target: VERTICES or INDICES.
            normalised: integers stand for 0..1.
            bounds: write least and largest values, as positions and times must.
        """
        accessor = _described(array, bounds) | {
            "bufferView": self.add_view(array.tobytes(), target)
        }
        return self._append(accessor | ({"normalized": True} if normalised else {}))

    def add_sparse(self, array: Array, *, bounds: bool = False) -> int:
        """The same for an `array` `[N, C]` with many rows of zeros: as indices and values, where that takes less."""
        rows = np.flatnonzero(array.any(axis=1))
        rows = (
            rows if len(rows) else np.zeros(1, dtype=np.intp)
        )  # a sparse accessor names one row at least
        indices = rows.astype(np.uint16 if len(array) <= 1 << 16 else np.uint32)
        if indices.nbytes + array[rows].nbytes >= array.nbytes:
            return self.add(array, target=VERTICES, bounds=bounds)
        sparse = {
            "count": len(rows),
            "indices": {
                "bufferView": self.add_view(indices.tobytes()),
                "componentType": COMPONENTS[indices.dtype],
            },
            "values": {"bufferView": self.add_view(array[rows].tobytes())},
        }
        return self._append(_described(array, bounds) | {"sparse": sparse})

    def add_view(self, data: bytes, target: int | None = None) -> int:
        """Index of a new buffer view of raw bytes."""
        view = {"buffer": 0, "byteOffset": len(self._bytes), "byteLength": len(data)}
        self._views.append(view | ({"target": target} if target else {}))
        self._bytes += data + bytes(-len(data) % 4)
        return len(self._views) - 1

    def write(self, path: Path) -> int:
        """Write the file; gives its size in bytes."""
        text = json.dumps(
            {**self.document, "buffers": [{"byteLength": len(self._bytes)}]}, separators=(",", ":")
        )
        encoded = text.encode()
        encoded += b" " * (-len(encoded) % 4)
        chunks = struct.pack("<I4s", len(encoded), b"JSON") + encoded
        chunks += struct.pack("<I4s", len(self._bytes), b"BIN\0") + self._bytes
        path.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks)
        return 12 + len(chunks)

    def _append(self, accessor: Json) -> int:
        self._accessors.append(accessor)
        return len(self._accessors) - 1


def _described(array: Array, bounds: bool) -> Json:
    """What an accessor says of its array."""
    accessor: Json = {
        "componentType": COMPONENTS[array.dtype],
        "count": len(array),
        "type": SHAPES[array.shape[1:]],
    }
    if bounds:
        columns = array.reshape(len(array), -1)
        accessor |= {"min": columns.min(axis=0).tolist(), "max": columns.max(axis=0).tolist()}
    return accessor
