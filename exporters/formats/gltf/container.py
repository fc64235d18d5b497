"""Container: a glTF 2.0 document and its buffer, written as a GLB file.

It uses json and struct: pygltflib holds the structure alone and trimesh a plain mesh, and neither
packs skins, sparse morph targets or clips. The reader uses pygltflib.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Float32, Shaped

Json = dict[str, Any]

COMPONENTS = {
    np.dtype(np.int8): 5120,
    np.dtype(np.int16): 5122,
    np.dtype(np.uint8): 5121,
    np.dtype(np.uint16): 5123,
    np.dtype(np.uint32): 5125,
    np.dtype(np.float32): 5126,
}
"""numpy's type -> glTF's `componentType`."""

SHAPES = {(): "SCALAR", (2,): "VEC2", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}
"""Shape of an element -> glTF's `type`."""

VERTICES = 34962
"""Target of a buffer view with vertex attributes (ARRAY_BUFFER)."""

INDICES = 34963
"""Target of a buffer view with indices (ELEMENT_ARRAY_BUFFER)."""

DENSE_SHARE = 0.5
"""Share of rows that are not zero from which on an accessor is dense.

A sparse accessor then saves less than 42 % of its bytes, and programs expand it when they load it.
"""


class Container:
    """A glTF document under construction.

    `add` and `add_sparse` append accessors and return their indices; `write` writes the file.

    Args:
        document: the JSON of the document; accessors and buffer views are added to it.
    """

    def __init__(self, document: Json) -> None:
        self.document = document
        self._accessors: list[Json] = document.setdefault("accessors", [])
        self._views: list[Json] = document.setdefault("bufferViews", [])
        self._bytes = bytearray()
        self.colour_change_bytes = 0
        """Bytes that `add_colour_change` added."""

    def add(
        self,
        array: Shaped[Array, "N ..."],
        *,
        target: int | None = None,
        bounds: bool = False,
    ) -> int:
        """Add an accessor of N elements.

        Args:
            array: the elements.
            target: VERTICES or INDICES.
            bounds: write smallest and largest values, which positions and times require.

        Returns:
            Index of the accessor.
        """
        return self.add_accessor(array, self.add_view(array.tobytes(), target), bounds=bounds)

    def add_accessor(
        self,
        array: Shaped[Array, "N ..."],
        view: int,
        *,
        bounds: bool = False,
        normalised: bool = False,
    ) -> int:
        """Add an accessor of a view that holds an array; integers represent 0..1 if normalised."""
        accessor = _accessor(array, bounds) | {"bufferView": view}
        return self._append(accessor | ({"normalized": True} if normalised else {}))

    def add_attribute(
        self, name: str, array: Shaped[Array, "N C"], *, bounds: bool = False, morph: bool = False
    ) -> int:
        """Add an attribute of the vertices, by glTF's name, or its change in a morph target."""
        if morph:
            return self.add_sparse(array, bounds=bounds)
        return self.add_rows(array, bounds=bounds)

    def add_colour_change(self, change: Float32[Array, "N 4"]) -> int:
        """Add COLOR_0 of a morph target, differences within -1..1, as normalised integers."""
        before = len(self._bytes)
        accessor = self._add_change(as_integers(change, np.int16))
        self.colour_change_bytes += len(self._bytes) - before
        return accessor

    def _add_change(self, change: Shaped[Array, "N 4"]) -> int:
        return self.add_sparse(change, normalised=True)

    def add_indices(self, indices: Shaped[Array, " N"]) -> int:
        """Add the corners of the faces, three after three."""
        return self.add(indices.astype(np.uint32), target=INDICES)

    def add_sparse(
        self, array: Shaped[Array, "N C"], *, bounds: bool = False, normalised: bool = False
    ) -> int:
        """Add an accessor of an array with many rows of zeros.

        It is sparse, with indices and values of the other rows, if these are fewer than
        DENSE_SHARE.

        Args:
            array: the elements.
            bounds: write smallest and largest values.
            normalised: integers represent 0..1.

        Returns:
            Index of the accessor.
        """
        rows = np.flatnonzero(array.any(axis=1))
        if not len(rows):  # a sparse accessor needs at least one row
            rows = np.zeros(1, dtype=np.intp)
        indices = rows.astype(np.uint16 if len(array) <= 1 << 16 else np.uint32)
        if len(rows) >= DENSE_SHARE * len(array):
            return self.add_rows(array, bounds=bounds, normalised=normalised)
        # The specification makes byteOffset optional; VTK reads no file without it.
        sparse = {
            "count": len(rows),
            "indices": {
                "bufferView": self.add_view(indices.tobytes()),
                "byteOffset": 0,
                "componentType": COMPONENTS[indices.dtype],
            },
            "values": {"bufferView": self.add_view(array[rows].tobytes()), "byteOffset": 0},
        }
        accessor = _accessor(array, bounds) | ({"normalized": True} if normalised else {})
        return self._append(accessor | {"sparse": sparse})

    def add_rows(
        self, array: Shaped[Array, "N C"], *, bounds: bool = False, normalised: bool = False
    ) -> int:
        """Add an accessor of an element for every vertex."""
        view = self.add_view(array.tobytes(), VERTICES)
        return self.add_accessor(array, view, bounds=bounds, normalised=normalised)

    def add_view(self, data: bytes, target: int | None = None) -> int:
        """Add a buffer view of raw bytes; return its index."""
        view = {"buffer": 0, "byteOffset": len(self._bytes), "byteLength": len(data)}
        self._views.append(view | ({"target": target} if target else {}))
        self._bytes += data + bytes(-len(data) % 4)
        return len(self._views) - 1

    def add_image(self, name: str, data: bytes, kind: str) -> int:
        """Add an image of a MIME type; return its index."""
        images = self.document.setdefault("images", [])
        images.append({"name": name, "bufferView": self.add_view(data), "mimeType": kind})
        return len(images) - 1

    def add_texture(self, image: int) -> int:
        """Add a texture with an image, filtered trilinearly and clamped; return its index."""
        sampler = {"magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071}
        self.document["samplers"] = [sampler]
        textures = self.document.setdefault("textures", [])
        textures.append({"sampler": 0, "source": image})
        return len(textures) - 1

    def use_extension(self, name: str, content: Json | None = None) -> None:
        """Declare an extension, and add its object of the whole document, if it has one."""
        self.document.setdefault("extensionsUsed", []).append(name)
        if content is not None:
            self.document.setdefault("extensions", {})[name] = content

    def require_extension(self, name: str) -> None:
        """Declare an extension without which the file cannot be read."""
        self.use_extension(name)
        self.document.setdefault("extensionsRequired", []).append(name)

    def buffers(self) -> list[Json]:
        """Entries of the buffers."""
        return [{"byteLength": len(self._bytes)}]

    def write(self, path: Path) -> int:
        """Write the file; return its size in bytes."""
        text = json.dumps({**self.document, "buffers": self.buffers()}, separators=(",", ":"))
        encoded = text.encode()
        encoded += b" " * (-len(encoded) % 4)
        chunks = struct.pack("<I4s", len(encoded), b"JSON") + encoded
        chunks += struct.pack("<I4s", len(self._bytes), b"BIN\0") + self._bytes
        path.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks)
        return 12 + len(chunks)

    def _append(self, accessor: Json) -> int:
        self._accessors.append(accessor)
        return len(self._accessors) - 1


def as_integers(array: Float32[Array, "N C"], kind: type[np.integer[Any]]) -> Shaped[Array, "N C"]:
    """Values within -1..1 or 0..1 as normalised integers."""
    return np.asarray(np.rint(array.astype(np.float64) * np.iinfo(kind).max).astype(kind))


def _accessor(array: Shaped[Array, "N ..."], bounds: bool) -> Json:
    """Type, count and, on request, bounds of an accessor."""
    accessor: Json = {
        "componentType": COMPONENTS[array.dtype],
        "count": len(array),
        "type": SHAPES[array.shape[1:]],
    }
    if bounds:
        columns = array.reshape(len(array), -1)
        accessor |= {"min": columns.min(axis=0).tolist(), "max": columns.max(axis=0).tolist()}
    return accessor
