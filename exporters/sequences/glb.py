"""GLB: the rig with the motion as its clip, in one file for engines and browsers.

A motion takes a few numbers a frame, as in USD. The colours are those of the neutral face, or
follow expression and jaw by morph targets.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from imavatar_deploy.arrays import Array, Float32

from ..formats.gltf.glb import write_glb
from ..formats.gltf.morph_targets import JAW_CORRECTIVE, open_jaw, strongest
from ..manifest import licence_of
from ..skeleton import NEUTRAL_EXPRESSION, REST_POSE
from .format import SequenceFormat
from .motion import Motion
from .neutral_colours import why_grey
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
        colours_at=_colours_at(motion) if motion.colour and motion.neutral is not None else None,
        synthetic_mark=motion.synthetic_mark,
        track=motion.track,
    )


def _colours(motion: Motion) -> Float32[Array, "V 3"]:
    """Colours of the neutral face, sRGB; grey if the motion has none."""
    if motion.neutral is None:
        return np.full((motion.avatar.vertex_count, 3), GREY, dtype=np.float32)
    return motion.neutral


def _colours_at(motion: Motion) -> dict[str, Float32[Array, "V 3"]]:
    """Target's name -> colours at its full weight."""
    poser = FramePoser(motion, ("colours",))
    size = motion.avatar.expression_size
    faces = dict(zip(motion.avatar.expression_names, np.eye(size, dtype=np.float32), strict=True))
    colours = {
        name: poser.pose(expression, REST_POSE, name)["colours"].copy()
        for name, expression in faces.items()
    }
    opened = poser.pose(NEUTRAL_EXPRESSION, open_jaw(), JAW_CORRECTIVE)["colours"]
    return colours | {JAW_CORRECTIVE: opened.copy()}


def _notes(motion: Motion) -> list[str]:
    lost = strongest(motion.avatar.skin_weights).lost
    notes = []
    if motion.neutral is None:
        why = "--no-colour" if motion.colour is False else why_grey(motion)
        notes.append(f"glb: the head is plain grey ({why})")
    elif motion.colour:
        notes.append("glb: the colours follow expression and jaw; their light turns with the head")
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
