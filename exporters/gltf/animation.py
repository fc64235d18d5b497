"""A clip as a glTF animation: one sampler and channel for the weights, two for each bone.

Joints that follow the expression become translations of the bones, exact at every frame.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.conventions import BONES
from imavatar_deploy.tracks import FlameTrack

from ..skeleton import bone_rotations, local_translations
from .clip import Correctives
from .container import Container
from .figure import MESH_NODE, Figure, bone_node

Float = NDArray[np.float32]

CLIP = "motion"
"""The animation's name."""


def add_clip(
    container: Container, figure: Figure, track: FlameTrack, motion: Correctives, expressions: list[int]
) -> None:
    """Add `track` to a figure's document.

    Args:
        motion: the correctives of its poses; their targets are the figure's last.
        expressions: which coefficients the figure's first targets are.
    """
    weights = np.concatenate([track.expression[:, expressions], motion.jaw[:, None], motion.weights], axis=1)
    rotations, frames = bone_rotations(track.pose), zip(track.expression, track.pose, strict=True)
    places = [local_translations(figure.avatar, *frame) for frame in frames]
    translations = np.stack(places)[:, -len(BONES) :].astype(np.float32)  # the ghost stays
    channels: list[tuple[int, str, Float]] = [(MESH_NODE, "weights", weights.astype(np.float32).ravel())]
    for number, bone in enumerate(BONES):
        channels.append((bone_node(figure, bone), "rotation", rotations[:, number]))
        channels.append((bone_node(figure, bone), "translation", translations[:, number]))
    times = container.add((np.arange(len(track)) / track.fps).astype(np.float32), bounds=True)
    container.document["animations"] = [_animation(container, times, channels)]


def _animation(container: Container, times: int, channels: list[tuple[int, str, Float]]) -> dict[str, Any]:
    """The animation of (node, what of it, values) channels that share their times."""
    return {
        "name": CLIP,
        "samplers": [
            {"input": times, "output": container.add(np.ascontiguousarray(values)), "interpolation": "LINEAR"}
            for _, _, values in channels
        ],
        "channels": [
            {"sampler": number, "target": {"node": node, "path": what}}
            for number, (node, what, _) in enumerate(channels)
        ],
    }
