"""A GLB moved as the glTF specification says, in numpy: the writer's judge."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.errors import InputError
from imavatar_deploy.optional import require

# A GLB read back: pygltflib parses the structure, accessors become arrays, sparse ones filled in.


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
            raise InputError(
                f"{path} is not a readable GLB ({error!r}); export it again"
            ) from error

    def array(self, accessor: int) -> Array:
        """[N] or [N, C] values of an accessor, normalised integers as 0..1."""
        entry = self.structure.accessors[accessor]
        size, dtype = TYPES[entry.type], _dtype(entry.componentType)
        values = (
            self._values(entry.bufferView, entry.byteOffset, dtype, entry.count * size)
            .reshape(-1, size)
            .copy()
        )
        if entry.sparse is not None:
            where, what = entry.sparse.indices, entry.sparse.values
            kind = _dtype(where.componentType)
            rows = self._values(where.bufferView, where.byteOffset, kind, entry.sparse.count)
            filled = self._values(
                what.bufferView, what.byteOffset, dtype, entry.sparse.count * size
            )
            values[rows] = filled.reshape(-1, size)
        scaled = values / float(np.iinfo(dtype).max) if entry.normalized else values
        return scaled[:, 0] if size == 1 else scaled

    def image(self) -> bytes:
        """The first image, as it is stored."""
        view = self.structure.bufferViews[self.structure.images[0].bufferView]
        start = view.byteOffset or 0
        return bytes(self._blob[start : start + view.byteLength])

    def _values(
        self, view: int | None, offset: int | None, dtype: np.dtype[Any], count: int
    ) -> Array:
        if view is None:
            return np.zeros(count, dtype=dtype)
        start = (self.structure.bufferViews[view].byteOffset or 0) + (offset or 0)
        return np.frombuffer(self._blob, dtype, count, start)


def _dtype(component: int) -> np.dtype[Any]:
    """Of a `componentType`."""
    return np.dtype(DTYPES[component])


Double = NDArray[np.float64]


class GlbPlayback(GlbFile):
    """The first mesh of a GLB with its skin, morph targets and first animation.

    Raises:
        InputError: the file is no GLB that pygltflib can read.
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

    def attribute(self, name: str) -> Array:
        """[V, C] of the mesh."""
        return self.array(getattr(self.primitive.attributes, name))

    def posed(
        self,
        weights: Mapping[str, float],
        turned: Mapping[str, Array],
        moved: Mapping[str, Array] | None = None,
    ) -> Double:
        """[V, 3] vertices in metres.

        Args:
            weights: of the morph targets by name, none where not said.
            turned: quaternions (x, y, z, w) of bones by name.
            moved: translations of bones by name, at rest where not said.
        """
        unknown = set(weights) - set(self.names)
        if unknown:
            raise InputError(
                f"the GLB has no morph targets {', '.join(sorted(unknown))}; it has {len(self.names)}"
            )
        amounts = np.array([weights.get(name, 0.0) for name in self.names])
        shaped = self.attribute("POSITION").astype(np.float64) + np.tensordot(
            amounts, self._targets, 1
        )
        matrices = self._world(turned, moved or {}) @ self._bind
        joints, shares = self.attribute("JOINTS_0"), self.attribute("WEIGHTS_0").astype(np.float64)
        blended = np.einsum("vk,vkrc->vrc", shares, matrices[joints])
        return np.asarray(np.einsum("vrc,vc->vr", blended[:, :3, :3], shaped) + blended[:, :3, 3])

    def coloured(self, name: str) -> Array:
        """[V, 3] linear colours at the full weight of a morph target."""
        offset = self.array(self.primitive.targets[self.names.index(name)]["COLOR_0"])
        return (self.attribute("COLOR_0") + offset)[:, :3]

    def at_key(self, key: int) -> Double:
        """[V, 3] vertices at a key of the animation, by its number."""
        animation = self.structure.animations[0]
        weights: Array = np.zeros(len(self.names))
        tracks: dict[str, dict[str, Array]] = {"rotation": {}, "translation": {}}
        for channel in animation.channels:
            values = self.array(animation.samplers[channel.sampler].output)
            if channel.target.path == "weights":
                weights = values.reshape(-1, len(self.names))[key]
            else:
                tracks[channel.target.path][self.structure.nodes[channel.target.node].name] = (
                    values[key]
                )
        named = dict(zip(self.names, weights.tolist(), strict=True))
        return self.posed(named, tracks["rotation"], tracks["translation"])

    def _world(self, turned: Mapping[str, Array], moved: Mapping[str, Array]) -> Double:
        """[J, 4, 4] from each joint's space to the scene's."""
        nodes = self.structure.nodes
        parents = {
            child: index for index, node in enumerate(nodes) for child in node.children or []
        }

        def world(index: int) -> Double:
            node, local = nodes[index], np.eye(4)
            local[:3, :3] = _matrix(turned.get(node.name, np.array(node.rotation or (0, 0, 0, 1))))
            local[:3, 3] = moved.get(node.name, np.array(node.translation or (0, 0, 0)))
            return world(parents[index]) @ local if index in parents else local

        return np.stack([world(joint) for joint in self.skin.joints])


def _matrix(quaternion: Array) -> Double:
    """Rotation matrix [3, 3] of a unit quaternion (x, y, z, w)."""
    x, y, z, w = (float(part) for part in quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
