"""Smaller GLB files: quantised attributes (KHR_mesh_quantization), and these encoded by meshopt.

Positions of mesh and morph targets are divided by their largest coordinate, so that they use all
values of 16 bits; the inverse bind matrices multiply by it again. Nothing else of a file changes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Float32, Shaped, UInt8
from imavatar_deploy.optional import require

from .container import INDICES, VERTICES, Container, Json, as_integers

COMPRESSIONS = {
    "none": "float32, which every program reads",
    "quantize": "integers of 8 and 16 bits (KHR_mesh_quantization), about two thirds of the size",
    "meshopt": "these, encoded by EXT_meshopt_compression, about a quarter of the size; for "
    "three.js, Babylon and others with a meshopt decoder",
}
"""How the arrays of a GLB are stored."""

QUANTIZATION = "KHR_mesh_quantization"
MESHOPT = "EXT_meshopt_compression"
EXTRA = "meshopt"

INTEGERS: dict[str, type[np.integer[Any]]] = {
    "POSITION": np.int16,
    "NORMAL": np.int8,
    "COLOR_0": np.uint16,
    "WEIGHTS_0": np.uint16,
    "TEXCOORD_0": np.uint16,
}
"""Attribute -> the normalised integers that hold it."""

ALIGNMENT = 4
"""Bytes to which rows of an attribute are aligned."""


class PackedContainer(Container):
    """A container of quantised attributes.

    Args:
        document: as for `Container`.
        encoded: whether meshopt encodes the attributes and indices.

    Raises:
        MissingDependencyError: meshopt's library is needed and not installed.
    """

    def __init__(self, document: Json, *, encoded: bool) -> None:
        super().__init__(document)
        self._encoder: Any = None
        self._decoded_size = 0
        self.require_extension(QUANTIZATION)
        if encoded:
            self._encoder = require("meshoptimizer", extra=EXTRA)
            self._encoder.encode_vertex_version(0)  # the version of the extension
            self._encoder.encode_index_version(1)
            self.require_extension(MESHOPT)

    def add_attribute(
        self, name: str, array: Shaped[Array, "N C"], *, bounds: bool = False, morph: bool = False
    ) -> int:
        """Add an attribute of the vertices, in integers where its values allow it."""
        kind = INTEGERS.get(name)
        limits = (-1.0, 1.0) if kind is not None and np.iinfo(kind).min < 0 else (0.0, 1.0)
        if kind is None or array.min() < limits[0] or array.max() > limits[1]:
            return self.add_rows(array, bounds=bounds)
        integers = weights_as_integers(array) if name == "WEIGHTS_0" else as_integers(array, kind)
        if morph and self._encoder is None:
            return self.add_sparse(integers, bounds=bounds, normalised=True)
        return self.add_rows(integers, bounds=bounds, normalised=True)

    def _add_change(self, change: Shaped[Array, "N 4"]) -> int:
        """meshopt encodes all rows, of which those of zeros need few bytes."""
        if self._encoder is None:
            return super()._add_change(change)
        return self.add_rows(change, normalised=True)

    def add_indices(self, indices: Shaped[Array, " N"]) -> int:
        """Add the corners of the faces, three after three."""
        kind = np.uint16 if indices.max(initial=0) < np.iinfo(np.uint16).max else np.uint32
        values = np.ascontiguousarray(indices.astype(kind))
        if self._encoder is None:
            return self.add(values, target=INDICES)
        vertices = int(indices.max(initial=0)) + 1
        data = self._encoder.encode_index_buffer(values.astype(np.uint32), len(values), vertices)
        view = self._add_encoded(data, len(values), values.itemsize, "TRIANGLES", INDICES)
        return self.add_accessor(values, view)

    def add_rows(
        self, array: Shaped[Array, "N C"], *, bounds: bool = False, normalised: bool = False
    ) -> int:
        """Add an accessor of an element for every vertex, aligned and perhaps encoded."""
        rows = _aligned(array)
        stride = rows.shape[1]
        if self._encoder is None:
            view = self.add_view(rows.tobytes(), VERTICES)
        else:
            data = self._encoder.encode_vertex_buffer(rows, len(rows), stride)
            view = self._add_encoded(data, len(rows), stride, "ATTRIBUTES", VERTICES)
        self.document["bufferViews"][view]["byteStride"] = stride
        return self.add_accessor(array, view, bounds=bounds, normalised=normalised)

    def _add_encoded(self, data: bytes, count: int, stride: int, mode: str, target: int) -> int:
        """Add a view of encoded bytes, whose decoded ones lie in a buffer that is not stored."""
        view = self.add_view(bytes(data), target)
        entry = self.document["bufferViews"][view]
        entry["extensions"] = {
            MESHOPT: {
                "buffer": 0,
                "byteOffset": entry["byteOffset"],
                "byteLength": entry["byteLength"],
                "byteStride": stride,
                "mode": mode,
                "count": count,
            }
        }
        size = count * stride
        entry |= {"buffer": 1, "byteOffset": self._decoded_size, "byteLength": size}
        self._decoded_size += size + -size % ALIGNMENT
        return view

    def buffers(self) -> list[Json]:
        """Entries of the buffers: the stored one, and the one of decoded views."""
        stored = super().buffers()
        if self._encoder is None:
            return stored
        fallback = {MESHOPT: {"fallback": True}}
        return [*stored, {"byteLength": self._decoded_size, "extensions": fallback}]


def new_container(document: Json, compression: str) -> Container:
    """A container for a row of `COMPRESSIONS`."""
    if compression == "none":
        return Container(document)
    return PackedContainer(document, encoded=compression == "meshopt")


def weights_as_integers(weights: Float32[Array, "N 4"]) -> Shaped[Array, "N 4"]:
    """Skinning weights as normalised integers whose rows sum to one; the largest comes first."""
    integers = as_integers(weights, np.uint16).astype(np.int64)
    integers[:, 0] += np.iinfo(np.uint16).max - integers.sum(axis=1)
    return np.asarray(integers.astype(np.uint16))


def joints_in_use(
    joints: UInt8[Array, "N 4"], weights: Float32[Array, "N 4"]
) -> UInt8[Array, "N 4"]:
    """The joints, zero where the integer that holds the weight is zero, as glTF requires."""
    return np.where(weights_as_integers(weights) > 0, joints, 0).astype(np.uint8)


def _aligned(array: Shaped[Array, "N C"]) -> Shaped[Array, "N S"]:
    """Rows of bytes, padded to `ALIGNMENT`."""
    rows = np.ascontiguousarray(array).view(np.uint8).reshape(len(array), -1)
    padding = -rows.shape[1] % ALIGNMENT
    return np.ascontiguousarray(np.pad(rows, ((0, 0), (0, padding))))
