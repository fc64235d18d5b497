"""What a written GLB or VRM must show: vertices by the avatar's own posing, kept beside it and compared with the file.

The reference is the avatar with the file's known limits taken out (`losses`), which are reported on their own; what is
left to differ is rounding, sparse accessors and mistakes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save

from imavatar_deploy.animation.animate import pose_plainly
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.conventions import BONES, UNITS_PER_METRE
from imavatar_deploy.errors import InputError
from imavatar_deploy.parity import ParityReport, Tolerance, compare
from imavatar_deploy.tracks import FlameTrack

from .clip import quaternions
from .limits import with_expressions, with_four_influences
from .losses import bones_alone, jaw_weight, live
from .playback import GlbPlayback
from .targets import JAW_CORRECTIVE

Float = NDArray[np.float32]
Array = NDArray[Any]

VERTICES_WITHIN = Tolerance(1e-4)
"""Metres."""

COLOURS_WITHIN = Tolerance(0.5 / 255)
"""Of vertex colours, as a screen shows them."""

TEXTURE_WITHIN = Tolerance(0.01)
"""Of the median face's centre: images are eight bits, and a texel is as wide as a tenth of a face to three of them."""

KEYS = 5
"""Frames of a clip that are compared."""


@dataclass(frozen=True)
class Pictured:
    """A file's poses: weights by target name, pose `[15]` of the bones, and the vertices `[V', 3]` in metres."""

    weights: Mapping[str, float]
    pose: Float
    vertices: Float


@dataclass(frozen=True)
class Proof:
    """Everything a file is held to."""

    poses: Sequence[Pictured]
    clip: Mapping[int, Float] = field(default_factory=dict)
    """Key of the animation -> vertices `[V', 3]`, metres."""
    colours: Mapping[str, Float] = field(default_factory=dict)
    """`vertex` [V', 3], or `uv` [N, 2] and `seen` [N, 3] of places in the image; sRGB."""


def live_poses(avatar: Avatar, names: Sequence[str], expression: Float, pose: Float, source: Array) -> list[Pictured]:
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
        pictures.append(Pictured(kept, turned, moved.vertices[source] / np.float32(UNITS_PER_METRE)))
    return pictures


def clip_frames(avatar: Avatar, names: Sequence[str], track: FlameTrack, source: Array) -> dict[int, Float]:
    """Vertices of some frames of a clip: correctives and the joints' own motion are in it."""
    able = with_expressions(with_four_influences(avatar), names)
    keys = sorted({int(key) for key in np.linspace(0, len(track) - 1, KEYS)})
    return {
        key: pose_plainly(able, track.expression[key], track.pose[key]).vertices[source] / np.float32(UNITS_PER_METRE)
        for key in keys
    }


def write_proof(path: Path, proof: Proof) -> None:
    """Keep a proof beside the file it belongs to."""
    path.parent.mkdir(exist_ok=True)
    names = sorted({name for picture in proof.poses for name in picture.weights})
    arrays: dict[str, Array] = {
        "weights": np.array([[p.weights.get(name, 0.0) for name in names] for p in proof.poses], dtype=np.float32),
        "pose": np.stack([picture.pose for picture in proof.poses]),
        "vertices": np.stack([picture.vertices for picture in proof.poses]),
        **{f"colours/{name}": np.ascontiguousarray(colours) for name, colours in proof.colours.items()},
    }
    if proof.clip:
        arrays |= {"keys": np.array(list(proof.clip)), "clip": np.stack(list(proof.clip.values()))}
    path.write_bytes(save(arrays, metadata={"targets": json.dumps(names)}))


def check_proof(subject: str, path: Path, proof: Path) -> ParityReport:
    """Read the file at `path` back and hold it against its proof."""
    with safe_open(proof, framework="numpy") as stored:
        names = json.loads(stored.metadata()["targets"])
        wanted = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118  # not a mapping
    file = GlbPlayback(path)
    found = {
        "vertices": np.stack(
            [
                file.posed(dict(zip(names, weights.tolist(), strict=True)), _turned(pose))
                for weights, pose in zip(wanted["weights"], wanted["pose"], strict=True)
            ]
        )
    }
    reference, limits = {"vertices": wanted["vertices"]}, {"vertices": VERTICES_WITHIN}
    if "clip" in wanted:
        found["clip"] = np.stack([file.at_key(int(key)) for key in wanted["keys"]])
        reference["clip"], limits["clip"] = wanted["clip"], VERTICES_WITHIN
    if "colours/vertex" in wanted:
        found["colours"] = _seen(file.attribute("COLOR_0")[:, :3])
        reference["colours"], limits["colours"] = wanted["colours/vertex"], COLOURS_WITHIN
    if "colours/uv" in wanted:
        error = np.abs(_sampled(file.image(), wanted["colours/uv"]) - wanted["colours/seen"]).max(axis=1)
        found["texture"], reference["texture"] = np.median(error)[None], np.zeros(1)
        limits["texture"] = TEXTURE_WITHIN
    return compare(subject, reference, found, limits)


def _turned(pose: Float) -> dict[str, Array]:
    return dict(zip(BONES, quaternions(pose), strict=True))


def _seen(linear: Array) -> Array:
    """sRGB of linear light."""
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 0.0) ** (1 / 2.4) - 0.055)


def _sampled(image: bytes, uv: Float) -> Array:
    """[N, 3] colours of a PNG at places `[N, 2]`, bilinear as a renderer reads them."""
    decoded = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
    if decoded is None:
        raise InputError("the texture is not a readable PNG; export the file again")
    texels = decoded[:, :, ::-1].astype(np.float32) / 255
    at = uv * np.array(texels.shape[1::-1], dtype=np.float32) - np.float32(0.5)
    sampled: Array = cv2.remap(
        texels, at[:, None, 0], at[:, None, 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return sampled[:, 0]
