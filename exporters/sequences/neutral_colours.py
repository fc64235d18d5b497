"""Colours of the neutral face for the formats of a bake: at the vertices, and as a texture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from imavatar_deploy.arrays import Array, Float32, Integer
from imavatar_deploy.errors import MissingDependencyError
from imavatar_deploy.fidelity.held_out_frames import is_refined
from imavatar_deploy.kinematics import condition_of
from imavatar_deploy.rendering.texture_network import TEXTURE_GRAPH, TextureGraph
from imavatar_deploy.student import read_student

from ..atlas import SurfaceColours, bake_texture, surface_at
from ..formats.gltf.materials import Texture
from ..skeleton import NEUTRAL_EXPRESSION, REST_POSE
from ..student.colours import student_colours_at
from .motion import Motion
from .posing import FramePoser

TEXTURE_SIZE = 1024
"""Texels a side of the texture of a package."""


def with_neutral_colours(motion: Motion) -> Motion:
    """`motion` with the colours of the neutral face, if it is to have any and the avatar can.

    A refined student has them; else an avatar without a texture network, or an installation without
    ONNX Runtime, has none.
    """
    if motion.colour is False or motion.neutral is not None or why_grey(motion):
        return motion
    poser = FramePoser(replace(motion, colour=True), ("colours",))
    colours = poser.pose(NEUTRAL_EXPRESSION, REST_POSE, "the neutral head")["colours"]
    return replace(motion, neutral=colours)


def why_grey(motion: Motion) -> str | None:
    """The reason for which the colours of the neutral face cannot be computed, or None."""
    if is_refined(motion.folder):
        return None
    if TEXTURE_GRAPH not in motion.folder.manifest["files"]:
        return f"the avatar has no {TEXTURE_GRAPH}"
    try:
        _network(motion)
    except MissingDependencyError as error:
        return str(error)
    return None


def neutral_texture(motion: Motion) -> Texture:
    """Bake the colours of the neutral face into an image.

    They are those of the student where it is refined, else of the baked texture codes.
    """
    colours = _student_colours if is_refined(motion.folder) else _network_colours
    return bake_texture(motion.avatar, colours(motion), TEXTURE_SIZE)


def _student_colours(motion: Motion) -> SurfaceColours:
    student = read_student(motion.folder)

    def colours(
        corners: Integer[Array, "N 3"], weights: Float32[Array, "N 3"]
    ) -> Float32[Array, "N 3"]:
        _, normals = surface_at(motion.avatar, corners, weights)
        return student_colours_at(student, corners, weights, normals)

    return colours


def _network_colours(motion: Motion) -> SurfaceColours:
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

    return colours


def _network(motion: Motion) -> TextureGraph:
    return TextureGraph(motion.folder.file(TEXTURE_GRAPH), motion.avatar, threads=1)
