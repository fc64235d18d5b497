"""FramePoser: one frame of a take as arrays in metres: vertices, normals and, where asked for, colours."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.errors import InputError
from imavatar_deploy.kinematics import condition_of
from imavatar_deploy.rendering.cpu_renderer import SurfacePoser
from imavatar_deploy.rendering.texture_network import TextureGraph
from imavatar_deploy.rendering.workers import Workers

from .motion import Motion

Float = NDArray[np.float32]
Channels = Mapping[str, Float]
"""What is known of each vertex in a frame, `[V, 3]` each, by name; see `CHANNELS`."""

CHANNELS = ("vertices", "normals", "colours")
"""Metres, +Y up, facing +Z; unit vectors; red, green and blue in 0..1 as an image shows them (sRGB)."""

FARTHEST = 1e5
"""Metres: a vertex farther away than this is a mistake in the motion, and text files have no digits for it."""


class FramePoser:
    """Poses the frames of a take; every thread has its own, and all give the same bits.

    Args:
        channels: which of `CHANNELS` are wanted.

    Raises:
        InputError: colours are wanted and the avatar has no texture network that fits.
        MissingDependencyError: colours are wanted and onnxruntime is not installed.
    """

    def __init__(self, take: Motion, channels: tuple[str, ...]) -> None:
        alone = Workers(1)
        self._take, self._channels = take, channels
        self._poser = SurfacePoser(take.avatar, alone)
        self._texture = None
        if "colours" in channels:
            self._texture = TextureGraph(take.folder.file("texture.onnx"), take.avatar, threads=1)

    def __call__(self, index: int) -> Channels:
        """The wanted channels of frame `index`, in arrays of their own.

        Raises:
            InputError: the motion throws a vertex out of all bounds.
        """
        track = self._take.track
        return self.pose(track.expression[index], track.pose[index], f"frame {index}")

    def pose(self, expression: Float, pose: Float, name: str) -> Channels:
        """The wanted channels for an expression `[E]` and a pose `[15]`; `name` is what an error calls them."""
        posed = self._poser.pose(expression, pose)
        if not np.abs(posed.vertices).max() < FARTHEST * UNITS_PER_METRE:
            raise InputError(
                f"{name} moves vertices more than {FARTHEST:.0f} m away; its expression or pose is out of bounds"
            )
        found = {"vertices": posed.vertices / np.float32(UNITS_PER_METRE)}
        if {"normals", "colours"} & set(self._channels):
            normals = self._poser.normals(posed)
            found["normals"] = normals.copy()
            if self._texture is not None:
                found["colours"] = self._colours(
                    self._texture, normals, condition_of(expression, pose)
                )
        return {channel: found[channel] for channel in self._channels}

    def _colours(self, network: TextureGraph, normals: Float, condition: Float) -> Float:
        codes = self._take.avatar.texture_code

        def fill(start: int, stop: int) -> None:
            network.code[: stop - start] = codes[start:stop]
            network.normal[: stop - start] = normals[start:stop]

        return network.run(len(normals), fill, condition)
