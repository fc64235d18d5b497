"""Colours of the neutral face for the formats of a bake: at the vertices, and as a texture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from imavatar_deploy.arrays import Array, Float32, Integer
from imavatar_deploy.errors import MissingDependencyError
from imavatar_deploy.kinematics import condition_of
from imavatar_deploy.rendering.texture_network import TEXTURE_GRAPH, TextureGraph

from ..atlas import bake_texture, surface_at
from ..formats.gltf.materials import Texture
from ..skeleton import NEUTRAL_EXPRESSION, REST_POSE
from .motion import Motion
from .posing import FramePoser

TEXTURE_SIZE = 1024
"""Texels a side of the texture of a package."""


def with_neutral_colours(motion: Motion) -> Motion:
    """`motion` with the colours of the neutral face, if it is to have any and the avatar can.

    An avatar without a texture network, or an installation without ONNX Runtime, has none.
    """
    if motion.colour is False or motion.neutral is not None or why_grey(motion):
        return motion
    poser = FramePoser(replace(motion, colour=True), ("colours",))
    colours = poser.pose(NEUTRAL_EXPRESSION, REST_POSE, "the neutral head")["colours"]
    return replace(motion, neutral=colours)


def why_grey(motion: Motion) -> str | None:
    """The reason for which the colours of the neutral face cannot be computed, or None."""
    if TEXTURE_GRAPH not in motion.folder.manifest["files"]:
        return f"the avatar has no {TEXTURE_GRAPH}"
    try:
        _network(motion)
    except MissingDependencyError as error:
        return str(error)
    return None


def neutral_texture(motion: Motion) -> Texture:
    """Bake the colours of the neutral face into an image, from the baked texture codes."""
    network = _network(motion)
    avatar = motion.avatar
    condition = condition_of(NEUTRAL_EXPRESSION, REST_POSE)

    def colours(
        corners: Integer[Array, "N 3"], weights: Float32[Array, "N 3"]
    ) -> Float32[Array, "N 3"]:
        codes = np.einsum("nk,nkc->nc", weights, avatar.texture_code[corners])
        _, normals = surface_at(avatar, corners, weights)

        def fill(start: int, stop: int) -> None:
            network.code[: stop - start] = codes[start:stop]
            network.normal[: stop - start] = normals[start:stop]

        return network.run(len(corners), fill, condition)

    return bake_texture(avatar, colours, TEXTURE_SIZE)


def _network(motion: Motion) -> TextureGraph:
    return TextureGraph(motion.folder.file(TEXTURE_GRAPH), motion.avatar, threads=1)
