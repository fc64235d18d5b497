"""A written GLB or VRM read back and held against its proof, comparison by comparison."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from imavatar_deploy.conventions import BONES
from imavatar_deploy.errors import InputError
from imavatar_deploy.fidelity.parity import ParityReport, Tolerance, compare

from ...skeleton import bone_rotations
from ...srgb import as_shown
from .reader import GlbPlayback

Array = NDArray[Any]


@dataclass(frozen=True)
class StoredExpectation:
    """A proof as it was kept, see `proof.write_proof`."""

    arrays: dict[str, Array]
    targets: list[str]
    coloured: list[str]


@dataclass(frozen=True)
class Comparison:
    """One thing that is compared, where the proof has the array `needs`."""

    needs: str
    found: Callable[[GlbPlayback, StoredExpectation], Array]
    within: Tolerance
    wanted: Callable[[StoredExpectation, str], Array] = lambda proof, needs: proof.arrays[needs]


def check_proof(subject: str, path: Path, proof: Path) -> ParityReport:
    """Read the file at `path` back and hold it against its proof."""
    stored, file = _read(proof), GlbPlayback(path)
    rows = {name: row for name, row in COMPARISONS.items() if row.needs in stored.arrays}
    return compare(
        subject,
        {name: row.wanted(stored, row.needs) for name, row in rows.items()},
        {name: row.found(file, stored) for name, row in rows.items()},
        {name: row.within for name, row in rows.items()},
    )


def _read(path: Path) -> StoredExpectation:
    with safe_open(path, framework="numpy") as file:
        names = file.metadata()
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a mapping
    return StoredExpectation(arrays, json.loads(names["targets"]), json.loads(names["coloured"]))


def _vertices(file: GlbPlayback, proof: StoredExpectation) -> Array:
    posed = [
        file.posed(
            dict(zip(proof.targets, weights.tolist(), strict=True)),
            dict(zip(BONES, bone_rotations(pose), strict=True)),
        )
        for weights, pose in zip(proof.arrays["weights"], proof.arrays["pose"], strict=True)
    ]
    return np.stack(posed)


def _clip(file: GlbPlayback, proof: StoredExpectation) -> Array:
    return np.stack([file.at_key(int(key)) for key in proof.arrays["keys"]])


def _colours(file: GlbPlayback, proof: StoredExpectation) -> Array:
    return as_shown(file.attribute("COLOR_0")[:, :3])


def _coloured(file: GlbPlayback, proof: StoredExpectation) -> Array:
    return np.stack([as_shown(file.coloured(name)) for name in proof.coloured])


def _texture(file: GlbPlayback, proof: StoredExpectation) -> Array:
    """[1] median error of the image where the proof has colours."""
    error = np.abs(
        _sampled(file.image(), proof.arrays["colours/uv"]) - proof.arrays["colours/seen"]
    )
    return np.array([np.median(error.max(axis=1))])


def _sampled(image: bytes, uv: Array) -> Array:
    """[N, 3] colours of a PNG at places `[N, 2]`, bilinear as a renderer reads them."""
    decoded = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
    if decoded is None:
        raise InputError("the texture is not a readable PNG; export the file again")
    texels = decoded[:, :, ::-1].astype(np.float32) / 255
    at = (uv * texels.shape[1::-1] - 0.5).astype(np.float32)
    sampled: Array = cv2.remap(
        texels, at[:, None, 0], at[:, None, 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return sampled[:, 0]


COMPARISONS = {
    "vertices": Comparison("vertices", _vertices, Tolerance(1e-4)),  # metres
    "clip": Comparison("clip", _clip, Tolerance(1e-4)),
    "colours": Comparison(
        "colours/vertex", _colours, Tolerance(0.5 / 255)
    ),  # as a screen shows them
    # What is not seen of a change is not written, and comes on top of rounding.
    "colours of targets": Comparison("coloured", _coloured, Tolerance(1.5 / 255)),
    # Of the median face: an image is eight bits, and a face is as wide as three to ten of its texels.
    "texture": Comparison(
        "colours/uv", _texture, Tolerance(0.01), lambda proof, needs: np.zeros(1)
    ),
}
"""Everything that can be compared, by the name that the report gives it."""
