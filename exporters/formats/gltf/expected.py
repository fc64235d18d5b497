"""ExpectedGlb: vertices and colours that a written GLB or VRM must show, stored beside the file.

The vertices come from the avatar's own posing, reduced by the known limits of the format, which are
reported separately (`losses`). Remaining differences are rounding, sparse accessors and errors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from imavatar_deploy.arrays import Array, Float32, Integer, Shaped
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.rendering.posing import pose_plainly
from imavatar_deploy.tracks import FlameTrack

from .losses import driven_by_bones, jaw_weight, live
from .morph_targets import JAW_CORRECTIVE, with_expressions, with_four_influences

KEYS = 5
"""Frames of a clip that are compared."""


@dataclass(frozen=True)
class ExpectedFrame:
    """One frame of a file with U vertices: how it is driven, and the vertices it must show."""

    weights: Mapping[str, float]
    """Weights by target name."""
    pose: Float32[Array, "15"]
    """Rotations of the bones."""
    vertices: Float32[Array, "U 3"]
    """Metres."""


@dataclass(frozen=True)
class ExpectedGlb:
    """Expected frames, clip and colours of a file with U vertices."""

    poses: Sequence[ExpectedFrame]
    clip: Mapping[int, Float32[Array, "U 3"]] = field(default_factory=dict)
    """Key of the animation -> vertices, metres."""
    colours: Mapping[str, Float32[Array, "_ _"]] = field(default_factory=dict)
    """`vertex` [U, 3], or `uv` [N, 2] and `seen` [N, 3] at points of the image; sRGB."""
    coloured: Mapping[str, Float32[Array, "U 3"]] = field(default_factory=dict)
    """Target's name -> sRGB colours at its full weight."""


def live_poses(
    avatar: Avatar,
    names: Sequence[str],
    expression: Float32[Array, "T E"],
    pose: Float32[Array, "T 15"],
    source: Integer[Array, " U"],
) -> list[ExpectedFrame]:
    """Frames as an engine drives them: by weights, bones and the open jaw's corrective.

    Args:
        avatar: the baked avatar.
        names: of the targets in the file.
        expression: coefficients of T frames.
        pose: axis-angles of T frames, radians.
        source: avatar vertex of each of the file's vertices.
    """
    frames = []
    for coefficients, angles in zip(expression, pose, strict=True):
        limited = live(avatar, angles) if JAW_CORRECTIVE in names else driven_by_bones(avatar)
        posed = pose_plainly(with_expressions(limited, names), coefficients, angles)
        weights = dict(zip(avatar.expression_names, coefficients.tolist(), strict=True)) | {
            JAW_CORRECTIVE: jaw_weight(angles)
        }
        present = {name: weight for name, weight in weights.items() if name in names}
        frames.append(
            ExpectedFrame(present, angles, posed.vertices[source] / np.float32(UNITS_PER_METRE))
        )
    return frames


def clip_frames(
    avatar: Avatar, names: Sequence[str], track: FlameTrack, source: Integer[Array, " U"]
) -> dict[int, Float32[Array, "U 3"]]:
    """Vertices in some frames of a clip, which contains correctives and the motion of joints.

    Args:
        avatar: the baked avatar.
        names: of the targets in the file.
        track: the motion.
        source: avatar vertex of each of the file's vertices.
    """
    limited = with_expressions(with_four_influences(avatar), names)
    keys = sorted({int(key) for key in np.linspace(0, len(track) - 1, KEYS)})
    return {
        key: pose_plainly(limited, track.expression[key], track.pose[key]).vertices[source]
        / np.float32(UNITS_PER_METRE)
        for key in keys
    }


def write_expected(path: Path, expected: ExpectedGlb) -> None:
    """Write an expectation; `verify.check_file` reads it."""
    path.parent.mkdir(exist_ok=True)
    frames = expected.poses
    names = sorted({name for frame in frames for name in frame.weights})
    weights = [[frame.weights.get(name, 0.0) for name in names] for frame in frames]
    arrays: dict[str, Shaped[Array, "..."]] = {
        "weights": np.array(weights, dtype=np.float32),
        "pose": np.stack([frame.pose for frame in frames]),
        "vertices": np.stack([frame.vertices for frame in frames]),
        **{
            f"colours/{name}": np.ascontiguousarray(colours)
            for name, colours in expected.colours.items()
        },
    }
    if expected.coloured:
        arrays["coloured"] = np.stack(list(expected.coloured.values()))
    if expected.clip:
        arrays["keys"] = np.array(list(expected.clip))
        arrays["clip"] = np.stack(list(expected.clip.values()))
    metadata = {"targets": json.dumps(names), "coloured": json.dumps(list(expected.coloured))}
    path.write_bytes(save(arrays, metadata=metadata))
