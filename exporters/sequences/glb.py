"""GLB: the rig with the motion as its clip, in one file for engines and browsers.

A motion takes a few numbers a frame, as in USD. The colours are those of the neutral face in every
frame.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.fidelity.held_out_frames import is_refined

from ..formats.gltf.glb import write_glb
from ..formats.gltf.morph_targets import strongest
from ..manifest import licence_of
from ..skeleton import NEUTRAL_EXPRESSION, REST_POSE
from .format import SequenceFormat
from .motion import Motion
from .posing import Channels, FramePoser

GREY = 0.5
"""Colour of a head without a texture network, sRGB."""

MIN_NOTED_LOSS = 0.005
"""Loss of a vertex's skinning weight from which on a note reports it."""


def _write(path: Path, motion: Motion, frames: Iterable[Channels]) -> None:
    deque(frames, maxlen=0)  # the frames are empty: the file holds the rig and the track
    write_glb(
        path,
        motion.avatar,
        _colours(motion),
        licence=licence_of(motion.folder.manifest),
        synthetic_mark=motion.synthetic_mark,
        track=motion.track,
    )


def _has_colours(motion: Motion) -> bool:
    return is_refined(motion.folder) or "texture.onnx" in motion.folder.manifest["files"]


def _colours(motion: Motion) -> Float32[Array, "V 3"]:
    """Colours of the neutral face, sRGB."""
    if not _has_colours(motion):
        return np.full((motion.avatar.vertex_count, 3), GREY, dtype=np.float32)
    return FramePoser(motion, ("colours",)).pose(NEUTRAL_EXPRESSION, REST_POSE, "the neutral head")[
        "colours"
    ]


def _notes(motion: Motion) -> list[str]:
    lost = strongest(motion.avatar.skin_weights).lost
    notes = []
    if not _has_colours(motion):
        notes.append("glb: the avatar has no texture.onnx, so the head is plain grey")
    elif motion.colour:
        notes.append("glb: the colours are those of the neutral face in every frame")
    if lost > MIN_NOTED_LOSS:
        notes.append(
            "glb: a vertex follows at most four bones; "
            f"one vertex loses {lost:.1%} of its weight by this limit"
        )
    return notes


FORMAT = SequenceFormat(
    "glb",
    "one file for engines and browsers: the rig, and the motion as a clip",
    ".glb",
    (),
    whole=_write,
    modules=("onnxruntime",),
    extra="cpu",
    own_colours=True,
    notes=_notes,
)
