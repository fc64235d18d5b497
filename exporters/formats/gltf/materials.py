"""How a GLB's surface looks: colours of the vertices, or an image and where each vertex lies in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.avatar import Avatar

from ...srgb import linear
from .container import VERTICES, Container

Float = NDArray[np.float32]

OPAQUE = np.iinfo(np.uint16).max
"""One, in the integers of COLOR_0: eight bits of linear light would band in the shadows."""

UNSEEN = 1 / 255
"""A change of a colour channel below this is written as none."""

UNLIT = "KHR_materials_unlit"
"""The light is already in the colours: the networks learned them as they were seen."""


@dataclass(frozen=True)
class Texture:
    """A baked image. The unwrapped mesh has its vertices once for every island of the atlas that they lie in."""

    png: bytes
    uv: Float  # [V', 2] from the image's upper left corner
    source: NDArray[np.intp]  # [V'] vertex of the avatar
    faces: NDArray[np.int32]  # [F, 3] into V', in the avatar's order


def corners(avatar: Avatar, look: Float | Texture) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
    """Which vertex of the avatar each vertex of the file is `[V']`, and the file's faces `[F, 3]`."""
    if isinstance(look, Texture):
        return look.source, look.faces
    return np.arange(avatar.vertex_count), avatar.faces


def add_colours(container: Container, colours: Float) -> dict[str, int]:
    """COLOR_0 of sRGB colours `[V, 3]`; glTF's are linear."""
    rgba = np.full((len(colours), 4), OPAQUE, dtype=np.uint16)
    rgba[:, :3] = np.round(linear(colours) * OPAQUE)
    _add_material(container, {})
    return {"COLOR_0": container.add(rgba, target=VERTICES, normalised=True)}


def colour_offset(colours: Float, wanted: Float) -> Float:
    """[V, 4] what turns `colours` into `wanted` `[V, 3]` in linear light, for the COLOR_0 of a morph target.

    Vertices whose colour an eight-bit screen would not change are left at zero.
    """
    offset = np.zeros((len(colours), 4), dtype=np.float32)
    offset[:, :3] = linear(wanted) - linear(colours)
    offset[np.abs(wanted - colours).max(axis=1) < UNSEEN] = 0.0
    return offset


def add_texture(container: Container, texture: Texture) -> dict[str, int]:
    """TEXCOORD_0, and the image in the material."""
    view = container.add_view(texture.png)
    container.document |= {
        "images": [{"name": "colour", "bufferView": view, "mimeType": "image/png"}],
        "samplers": [
            {"magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071}
        ],  # trilinear, clamped
        "textures": [{"sampler": 0, "source": 0}],
    }
    _add_material(container, {"baseColorTexture": {"index": 0}})
    return {"TEXCOORD_0": container.add(texture.uv, target=VERTICES)}


def _add_material(container: Container, colour: dict[str, Any]) -> None:
    surface = {**colour, "metallicFactor": 0.0, "roughnessFactor": 1.0}
    container.document["materials"] = [
        {"name": "head", "pbrMetallicRoughness": surface, "extensions": {UNLIT: {}}}
    ]
    container.document.setdefault("extensionsUsed", []).append(UNLIT)
