"""Materials of a GLB: vertex colours, or a texture with texture coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Float32, Int32, Integer
from imavatar_deploy.avatar import Avatar

from ...srgb import linear
from .container import Container

MIN_COLOUR_CHANGE = 1 / 255
"""Smaller changes of a colour channel in a morph target are stored as zero."""

DARKEST = 1e-3
"""Smallest divisor of a factor in linear light; eight bits of sRGB show it as three."""

UNLIT_EXTENSION = "KHR_materials_unlit"
"""Extension for materials without lighting; the networks' colours contain the lighting."""


@dataclass(frozen=True)
class Texture:
    """A baked image and its unwrapped mesh.

    The mesh has U vertices: each vertex of the avatar once for every island of the atlas that it
    lies in.
    """

    png: bytes
    uv: Float32[Array, "U 2"]  # from the image's upper left corner
    source: Integer[Array, " U"]  # vertex of the avatar
    faces: Int32[Array, "F 3"]  # of the U vertices, in the avatar's order
    neutral: Float32[Array, "V 3"] | None = None  # sRGB, of the avatar's vertices

    @property
    def white(self) -> Float32[Array, "U 4"]:
        """COLOR_0 of the mesh, which multiplies the image and which morph targets change."""
        return np.ones((len(self.source), 4), dtype=np.float32)


def file_mesh(
    avatar: Avatar, material: Float32[Array, "V 3"] | Texture
) -> tuple[Integer[Array, " U"], Int32[Array, "F 3"]]:
    """Avatar vertex of each of the file's U vertices, and the file's faces."""
    if isinstance(material, Texture):
        return material.source, material.faces
    return np.arange(avatar.vertex_count), avatar.faces


def add_colours(
    container: Container, colours: Float32[Array, "V 3"], *, lit: bool = False
) -> dict[str, int]:
    """Add COLOR_0 of sRGB colours, converted to linear light, and the material.

    COLOR_0 is float32: several programs read normalised integers wrongly, and with eight bits of
    linear light shadows would show bands.
    """
    rgba = np.ones((len(colours), 4), dtype=np.float32)
    rgba[:, :3] = linear(colours)
    _add_material(container, {}, lit)
    return {"COLOR_0": container.add_attribute("COLOR_0", rgba)}


def colour_change(
    material: Float32[Array, "V 3"] | Texture, colours: Float32[Array, "V 3"]
) -> Float32[Array, "V 4"]:
    """COLOR_0 of a morph target: of vertex colours their difference, of an image its factor.

    Args:
        material: of the mesh; a texture needs `neutral`.
        colours: sRGB, at the full weight of the target.
    """
    if not isinstance(material, Texture):
        return colour_offset(material, colours)
    assert material.neutral is not None
    return colour_factor(material.neutral, colours)


def colour_factor(
    neutral: Float32[Array, "V 3"], colours: Float32[Array, "V 3"]
) -> Float32[Array, "V 4"]:
    """Factor between two sRGB colourings in linear light, less one, within -1..1.

    Light below DARKEST counts as DARKEST. Changes below MIN_COLOUR_CHANGE are zero.
    """
    factor = np.zeros((len(neutral), 4), dtype=np.float32)
    base = np.maximum(linear(neutral), DARKEST)
    factor[:, :3] = np.clip((linear(colours) - linear(neutral)) / base, -1.0, 1.0)
    factor[np.abs(colours - neutral).max(axis=1) < MIN_COLOUR_CHANGE] = 0.0
    return factor


def colour_offset(
    neutral: Float32[Array, "V 3"], colours: Float32[Array, "V 3"]
) -> Float32[Array, "V 4"]:
    """COLOR_0 of a morph target: difference between two sRGB colourings in linear light.

    Changes below MIN_COLOUR_CHANGE are zero.

    Args:
        neutral: colours of the mesh.
        colours: colours at the full weight of the target.
    """
    offset = np.zeros((len(neutral), 4), dtype=np.float32)
    offset[:, :3] = linear(colours) - linear(neutral)
    offset[np.abs(colours - neutral).max(axis=1) < MIN_COLOUR_CHANGE] = 0.0
    return offset


def add_texture(container: Container, texture: Texture, *, lit: bool = False) -> dict[str, int]:
    """Add TEXCOORD_0, the image, and the material with the image."""
    index = container.add_texture(container.add_image("colour", texture.png, "image/png"))
    _add_material(container, {"baseColorTexture": {"index": index}}, lit)
    return {"TEXCOORD_0": container.add_attribute("TEXCOORD_0", texture.uv)}


def _add_material(container: Container, colour: dict[str, Any], lit: bool) -> None:
    surface = {**colour, "metallicFactor": 0.0, "roughnessFactor": 1.0}
    material: dict[str, Any] = {"name": "head", "pbrMetallicRoughness": surface}
    if not lit:
        material["extensions"] = {UNLIT_EXTENSION: {}}
        container.use_extension(UNLIT_EXTENSION)
    container.document["materials"] = [material]
