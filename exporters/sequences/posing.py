"""FramePoser: vertices, normals and optionally colours of one frame of a motion, in metres."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.errors import InputError
from imavatar_deploy.fidelity.held_out_frames import is_refined
from imavatar_deploy.kinematics import condition_of
from imavatar_deploy.rendering.cpu_renderer import SurfacePoser
from imavatar_deploy.rendering.texture_network import TextureGraph
from imavatar_deploy.rendering.workers import Workers
from imavatar_deploy.student import Student, colours_plainly, read_student

from .motion import Motion

Channels = Mapping[str, Float32[Array, "V 3"]]
"""Values at each vertex in a frame, by the names in `CHANNELS`."""

CHANNELS = ("vertices", "normals", "colours")
"""Positions in metres, +Y up, facing +Z; unit normals; sRGB colours in 0..1."""

MAX_DISTANCE = 1e5
"""Largest distance of a vertex from the origin, metres.

A larger distance is an error of the motion, and text files have no digits for it.
"""


class FramePoser:
    """Poses the frames of a motion. Every thread has its own; all give the same bits.

    Colours are those of the student where it is refined on images, else of the texture network.

    Args:
        motion: the avatar and its track.
        channels: names from `CHANNELS` to compute.

    Raises:
        InputError: colours are among the channels, and the avatar has no suitable texture network.
        MissingDependencyError: colours are among the channels, and onnxruntime is not installed.
    """

    def __init__(self, motion: Motion, channels: tuple[str, ...]) -> None:
        self._motion = motion
        self._channels = channels
        self._poser = SurfacePoser(motion.avatar, Workers(1))
        self._texture: TextureGraph | None = None
        self._student: Student | None = None
        coloured = "colours" in channels and motion.colour is True
        if coloured and is_refined(motion.folder):
            self._student = read_student(motion.folder)
        elif coloured:
            graph = motion.folder.file("texture.onnx")
            self._texture = TextureGraph(graph, motion.avatar, threads=1)

    def __call__(self, index: int) -> Channels:
        """Return the channels of frame `index`, in arrays of their own.

        Raises:
            InputError: the motion moves a vertex farther than `MAX_DISTANCE`.
        """
        track = self._motion.track
        return self.pose(track.expression[index], track.pose[index], f"frame {index}")

    def pose(
        self, expression: Float32[Array, " E"], pose: Float32[Array, "15"], name: str
    ) -> Channels:
        """Return the channels for an expression and a pose, whose `name` is used in errors."""
        posed = self._poser.pose(expression, pose)
        if not np.abs(posed.vertices).max() < MAX_DISTANCE * UNITS_PER_METRE:
            raise InputError(
                f"{name} moves vertices more than {MAX_DISTANCE:.0f} m away; "
                "its expression or pose is out of bounds"
            )
        values = {"vertices": posed.vertices / np.float32(UNITS_PER_METRE)}
        if {"normals", "colours"} & set(self._channels):
            normals = self._poser.normals(posed)
            values["normals"] = normals.copy()
            condition = condition_of(expression, pose)
            if self._motion.colour is None and self._motion.neutral is not None:
                values["colours"] = self._motion.neutral
            elif self._student is not None:
                features = self._student.features
                values["colours"] = colours_plainly(self._student, features, normals, condition)
            elif self._texture is not None:
                values["colours"] = self._colours(self._texture, normals, condition)
        return {channel: values[channel] for channel in self._channels}

    def _colours(
        self,
        network: TextureGraph,
        normals: Float32[Array, "V 3"],
        condition: Float32[Array, "1 C"],
    ) -> Float32[Array, "V 3"]:
        codes = self._motion.avatar.texture_code

        def fill(start: int, stop: int) -> None:
            network.code[: stop - start] = codes[start:stop]
            network.normal[: stop - start] = normals[start:stop]

        return network.run(len(normals), fill, condition)
