"""GLB: the rig with the motion as its clip, in one file for engines and browsers.

A motion costs some numbers a frame, as in USD; the colours are those of the neutral face in every frame.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..formats.gltf.glb import write_glb
from ..formats.gltf.morph_targets import strongest
from ..manifest import licence_of
from ..skeleton import AT_REST, NEUTRAL
from .format import SequenceFormat
from .motion import Motion
from .posing import Channels, FramePoser

GREY = 0.5
"""Of a head whose colours nobody knows, sRGB."""

TOLD = 0.005
"""A share of a vertex's skinning weight that is worth a sentence when it is lost."""


def _write(path: Path, take: Motion, frames: Iterable[Channels]) -> None:
    deque(frames, maxlen=0)  # they hold nothing: the rig moves by itself
    write_glb(
        path,
        take.avatar,
        _colours(take),
        licence=licence_of(take.folder.manifest),
        track=take.track,
    )


def _has_colours(take: Motion) -> bool:
    return "texture.onnx" in take.folder.manifest["files"]


def _colours(take: Motion) -> NDArray[np.float32]:
    """[V, 3] sRGB of the neutral face."""
    if not _has_colours(take):
        return np.full((take.avatar.vertex_count, 3), GREY, dtype=np.float32)
    return FramePoser(take, ("colours",)).pose(NEUTRAL, AT_REST, "the neutral head")["colours"]


def _notes(take: Motion) -> list[str]:
    lost = strongest(take.avatar.skin_weights).lost
    notes = {
        "glb: the avatar has no texture.onnx, so the head is plain grey": not _has_colours(take),
        "glb: the colours are those of the neutral face in every frame": _has_colours(take)
        and take.colour,
        f"glb: a vertex follows four bones at most, and one loses {lost:.1%} of its weight by it": lost
        > TOLD,
    }
    return [note for note, true in notes.items() if true]


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
