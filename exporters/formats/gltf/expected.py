"""What a written GLB or VRM must show: vertices by the avatar's own posing and colours, kept beside the file.

The reference is the avatar with the file's known limits taken out (`losses`), which are reported on their own; what is
left to differ is rounding, sparse accessors and mistakes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.rendering.posing import pose_plainly
from imavatar_deploy.tracks import FlameTrack

from .losses import bones_alone, jaw_weight, live
from .morph_targets import JAW_CORRECTIVE, with_expressions, with_four_influences

Float = NDArray[np.float32]
Array = NDArray[Any]

KEYS = 5
"""Frames of a clip that are compared."""


@dataclass(frozen=True)
class ExpectedFrame:
    """A file's poses: weights by target name, pose `[15]` of the bones, and the vertices `[V', 3]` in metres."""

    weights: Mapping[str, float]
    pose: Float
    vertices: Float


@dataclass(frozen=True)
class ExpectedGlb:
    """Everything a file is held to."""

    poses: Sequence[ExpectedFrame]
    clip: Mapping[int, Float] = field(default_factory=dict)
    """Key of the animation -> vertices `[V', 3]`, metres."""
    colours: Mapping[str, Float] = field(default_factory=dict)
    """`vertex` [V', 3], or `uv` [N, 2] and `seen` [N, 3] of places in the image; sRGB."""
    coloured: Mapping[str, Float] = field(default_factory=dict)
    """Target's name -> colours `[V', 3]` at its full weight, sRGB."""


def live_poses(
    avatar: Avatar, names: Sequence[str], expression: Float, pose: Float, source: Array
) -> list[ExpectedFrame]:
    """Frames `[T, 50]`, `[T, 15]` as an engine sets them: weights, bones and the open jaw's corrective.

    Args:
        names: of the targets that the file has.
        source: the avatar's vertex of each of the file's.
    """
    pictures = []
    for coefficients, turned in zip(expression, pose, strict=True):
        driven = live(avatar, turned) if JAW_CORRECTIVE in names else bones_alone(avatar)
        moved = pose_plainly(with_expressions(driven, names), coefficients, turned)
        weights = dict(zip(avatar.expression_names, coefficients.tolist(), strict=True)) | {
            JAW_CORRECTIVE: jaw_weight(turned)
        }
        kept = {name: weight for name, weight in weights.items() if name in names}
        pictures.append(
            ExpectedFrame(kept, turned, moved.vertices[source] / np.float32(UNITS_PER_METRE))
        )
    return pictures


def clip_frames(
    avatar: Avatar, names: Sequence[str], track: FlameTrack, source: Array
) -> dict[int, Float]:
    """Vertices of some frames of a clip: correctives and the joints' own motion are in it."""
    able = with_expressions(with_four_influences(avatar), names)
    keys = sorted({int(key) for key in np.linspace(0, len(track) - 1, KEYS)})
    return {
        key: pose_plainly(able, track.expression[key], track.pose[key]).vertices[source]
        / np.float32(UNITS_PER_METRE)
        for key in keys
    }


def write_proof(path: Path, proof: ExpectedGlb) -> None:
    """Keep a proof beside the file it belongs to."""
    path.parent.mkdir(exist_ok=True)
    names = sorted({name for picture in proof.poses for name in picture.weights})
    arrays: dict[str, Array] = {
        "weights": np.array(
            [[p.weights.get(name, 0.0) for name in names] for p in proof.poses], dtype=np.float32
        ),
        "pose": np.stack([picture.pose for picture in proof.poses]),
        "vertices": np.stack([picture.vertices for picture in proof.poses]),
        **{
            f"colours/{name}": np.ascontiguousarray(colours)
            for name, colours in proof.colours.items()
        },
    }
    if proof.coloured:
        arrays["coloured"] = np.stack(list(proof.coloured.values()))
    if proof.clip:
        arrays |= {"keys": np.array(list(proof.clip)), "clip": np.stack(list(proof.clip.values()))}
    path.write_bytes(
        save(
            arrays,
            metadata={"targets": json.dumps(names), "coloured": json.dumps(list(proof.coloured))},
        )
    )
