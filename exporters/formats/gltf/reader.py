"""Read a GLB back and evaluate its skin, morph targets and animation in numpy, to check the writer.

pygltflib parses the structure; the arithmetic follows the glTF 2.0 specification.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Float, Float64, Shaped
from imavatar_deploy.errors import InputError, excerpt
from imavatar_deploy.optional import require

SIZES = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
"""glTF's `type` -> values an element."""

DTYPES = {
    5120: np.int8,
    5121: np.uint8,
    5122: np.int16,
    5123: np.uint16,
    5125: np.uint32,
    5126: np.float32,
}
"""glTF's `componentType` -> numpy's type."""

MESHOPT = "EXT_meshopt_compression"


class GlbFile:
    """The structure of a GLB and its arrays.

    Raises:
        InputError: pygltflib cannot read the file as a GLB.
    """

    def __init__(self, path: Path) -> None:
        library = require("pygltflib", extra="gltf")
        try:
            self.structure = library.GLTF2().load_binary(str(path))
            self._blob = self.structure.binary_blob()
        except Exception as error:  # struct, json and dataclasses raise errors on damaged bytes
            raise InputError(
                f"{path} is not a readable GLB ({excerpt(repr(error))}); export it again"
            ) from error

    def array(self, accessor: int) -> Shaped[Array, "N ..."]:
        """Values `[N]` or `[N, C]` of an accessor; normalised integers become 0..1."""
        entry = self.structure.accessors[accessor]
        size = SIZES[entry.type]
        dtype = _dtype(entry.componentType)
        values = self._rows(entry.bufferView, entry.byteOffset, dtype, entry.count, size)
        if entry.sparse is not None:
            index, replacement = entry.sparse.indices, entry.sparse.values
            kind = _dtype(index.componentType)
            rows = self._values(index.bufferView, index.byteOffset, kind, entry.sparse.count)
            content = self._values(
                replacement.bufferView, replacement.byteOffset, dtype, entry.sparse.count * size
            )
            values[rows] = content.reshape(-1, size)
        scaled = values / float(np.iinfo(dtype.type).max) if entry.normalized else values
        return scaled[:, 0] if size == 1 else scaled

    def image(self) -> bytes:
        """The bytes of the first image, as stored."""
        view = self.structure.bufferViews[self.structure.images[0].bufferView]
        start = view.byteOffset or 0
        return bytes(self._blob[start : start + view.byteLength])

    def _rows(
        self, view: int | None, offset: int | None, dtype: np.dtype[Any], count: int, size: int
    ) -> Shaped[Array, "N C"]:
        """`count` elements of `size` values, which need not lie side by side."""
        if view is None:
            return np.zeros((count, size), dtype=dtype)  # the base of a sparse accessor
        entry = self.structure.bufferViews[view]
        width = size * dtype.itemsize
        stride = entry.byteStride or width
        if MESHOPT in (entry.extensions or {}):
            data = _decoded(self._blob, entry.extensions[MESHOPT])
        else:
            data = self._blob[(entry.byteOffset or 0) :]
        start = offset or 0
        taken = np.frombuffer(data, np.uint8, (count - 1) * stride + width, start)
        rows = np.lib.stride_tricks.as_strided(taken, (count, width), (stride, 1))
        return np.ascontiguousarray(rows).view(dtype).reshape(count, size)

    def _values(
        self, view: int | None, offset: int | None, dtype: np.dtype[Any], count: int
    ) -> Shaped[Array, " N"]:
        if view is None:
            return np.zeros(count, dtype=dtype)
        start = (self.structure.bufferViews[view].byteOffset or 0) + (offset or 0)
        return np.frombuffer(self._blob, dtype, count, start)


def _decoded(blob: bytes, entry: dict[str, Any]) -> bytes:
    """The bytes of a view that meshopt encoded."""
    library = require("meshoptimizer", extra="meshopt")
    start = entry.get("byteOffset", 0)
    data = np.frombuffer(blob, np.uint8, entry["byteLength"], start)
    count, stride = entry["count"], entry["byteStride"]
    if entry["mode"] == "ATTRIBUTES":
        return bytes(library.decode_vertex_buffer(count, stride, data))
    kind = {2: np.uint16, 4: np.uint32}[stride]
    indices = library.decode_index_buffer(count, 4, data)
    return np.asarray(indices).ravel().astype(kind).tobytes()


def _dtype(component: int) -> np.dtype[Any]:
    """numpy's type of a `componentType`."""
    return np.dtype(DTYPES[component])


class GlbPlayback(GlbFile):
    """The first mesh of a GLB with its skin, morph targets and first animation.

    Raises:
        InputError: pygltflib cannot read the file as a GLB.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        mesh, self.skin = self.structure.meshes[0], self.structure.skins[0]
        self.primitive = mesh.primitives[0]
        self.names: list[str] = (mesh.extras or {}).get("targetNames", [])
        self.bones: list[str] = [self.structure.nodes[joint].name for joint in self.skin.joints]
        self._targets = np.stack(
            [self.array(target["POSITION"]) for target in self.primitive.targets]
        )
        self._bind = self.array(self.skin.inverseBindMatrices).reshape(-1, 4, 4).transpose(0, 2, 1)

    def attribute(self, name: str) -> Shaped[Array, "V C"]:
        """Values of a vertex attribute of the mesh."""
        return self.array(getattr(self.primitive.attributes, name))

    def pose_vertices(
        self,
        weights: Mapping[str, float],
        rotations: Mapping[str, Float[Array, "4"]],
        translations: Mapping[str, Float[Array, "3"]] | None = None,
    ) -> Float64[Array, "V 3"]:
        """Posed vertices, metres.

        Args:
            weights: of the morph targets by name; zero for others.
            rotations: quaternions (x, y, z, w) of bones by name; at rest for others.
            translations: of bones by name; at rest for others.

        Raises:
            InputError: the file has no morph target of a name in `weights`.
        """
        unknown = set(weights) - set(self.names)
        if unknown:
            raise InputError(
                f"the GLB has no morph targets named {', '.join(sorted(unknown))}; "
                f"it has {len(self.names)} others"
            )
        amounts = np.array([weights.get(name, 0.0) for name in self.names])
        shaped = self.attribute("POSITION").astype(np.float64) + np.tensordot(
            amounts, self._targets, 1
        )
        matrices = self._world(rotations, translations or {}) @ self._bind
        joints = self.attribute("JOINTS_0")
        skin_weights = self.attribute("WEIGHTS_0").astype(np.float64)
        blended = np.einsum("vk,vkrc->vrc", skin_weights, matrices[joints])
        return np.asarray(np.einsum("vrc,vc->vr", blended[:, :3, :3], shaped) + blended[:, :3, 3])

    def colours_at(self, name: str) -> Float[Array, "V 3"]:
        """Linear colours at the full weight of a morph target."""
        offset = self.array(self.primitive.targets[self.names.index(name)]["COLOR_0"])
        return (self.attribute("COLOR_0") + offset)[:, :3]

    def at_key(self, key: int) -> Float64[Array, "V 3"]:
        """Vertices at a key of the animation, by its number; metres."""
        animation = self.structure.animations[0]
        weights: Float[Array, " M"] = np.zeros(len(self.names))
        tracks: dict[str, dict[str, Float[Array, " C"]]] = {"rotation": {}, "translation": {}}
        for channel in animation.channels:
            values = self.array(animation.samplers[channel.sampler].output)
            if channel.target.path == "weights":
                weights = values.reshape(-1, len(self.names))[key]
            else:
                tracks[channel.target.path][self.structure.nodes[channel.target.node].name] = (
                    values[key]
                )
        named = dict(zip(self.names, weights.tolist(), strict=True))
        return self.pose_vertices(named, tracks["rotation"], tracks["translation"])

    def _world(
        self,
        rotations: Mapping[str, Float[Array, "4"]],
        translations: Mapping[str, Float[Array, "3"]],
    ) -> Float64[Array, "J 4 4"]:
        """Matrices from each joint's space to the scene's."""
        nodes = self.structure.nodes
        parents = {
            child: index for index, node in enumerate(nodes) for child in node.children or []
        }

        def world(index: int) -> Float64[Array, "4 4"]:
            node = nodes[index]
            rotation = np.array(node.rotation or (0.0, 0.0, 0.0, 1.0))
            translation = np.array(node.translation or (0.0, 0.0, 0.0))
            local = np.eye(4)
            local[:3, :3] = _matrix(rotations.get(node.name, rotation))
            local[:3, 3] = translations.get(node.name, translation)
            return world(parents[index]) @ local if index in parents else local

        return np.stack([world(joint) for joint in self.skin.joints])


def _matrix(quaternion: Float[Array, "4"]) -> Float64[Array, "3 3"]:
    """Rotation matrix of a unit quaternion (x, y, z, w)."""
    x, y, z, w = (float(part) for part in quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
