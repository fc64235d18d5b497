"""Check a written GLB or VRM: read it back and compare it with its expectation (`expected`)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from safetensors import safe_open

from imavatar_deploy.arrays import Array, Float, Float32, Shaped
from imavatar_deploy.conventions import BONES
from imavatar_deploy.errors import InputError
from imavatar_deploy.fidelity.parity import ParityReport, Tolerance, compare

from ...skeleton import bone_rotations
from ...srgb import as_shown
from .reader import GlbPlayback


@dataclass(frozen=True)
class StoredExpectation:
    """An expectation as `expected.write_expected` stored it."""

    arrays: dict[str, Shaped[Array, "..."]]
    targets: list[str]
    """Names of the morph targets in the columns of `weights`."""
    coloured: list[str]
    """Names of the morph targets in the rows of `coloured`."""


@dataclass(frozen=True)
class Comparison:
    """One comparison of a file with its expectation, if that has the array `needs`."""

    needs: str
    computed: Callable[[GlbPlayback, StoredExpectation], Float[Array, "..."]]
    tolerance: Tolerance
    expected: Callable[[StoredExpectation, str], Shaped[Array, "..."]] = lambda stored, needs: (
        stored.arrays[needs]
    )


def check_file(subject: str, path: Path, expectation: Path) -> ParityReport:
    """Read the file at `path` and compare it with its expectation.

    Args:
        subject: name of the file in the report.
        path: the GLB or VRM.
        expectation: the file that `expected.write_expected` wrote.
    """
    stored = _read(expectation)
    file = GlbPlayback(path)
    rows = {name: row for name, row in COMPARISONS.items() if row.needs in stored.arrays}
    return compare(
        subject,
        {name: row.expected(stored, row.needs) for name, row in rows.items()},
        {name: row.computed(file, stored) for name, row in rows.items()},
        {name: row.tolerance for name, row in rows.items()},
    )


def _read(path: Path) -> StoredExpectation:
    with safe_open(path, framework="numpy") as file:
        names = file.metadata()
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a mapping
    return StoredExpectation(arrays, json.loads(names["targets"]), json.loads(names["coloured"]))


def _vertices(file: GlbPlayback, stored: StoredExpectation) -> Float[Array, "T U 3"]:
    posed = [
        file.pose_vertices(
            dict(zip(stored.targets, weights.tolist(), strict=True)),
            dict(zip(file.bones[-len(BONES) :], bone_rotations(pose), strict=True)),
        )
        for weights, pose in zip(stored.arrays["weights"], stored.arrays["pose"], strict=True)
    ]
    return np.stack(posed)


def _clip(file: GlbPlayback, stored: StoredExpectation) -> Float[Array, "T U 3"]:
    return np.stack([file.at_key(int(key)) for key in stored.arrays["keys"]])


def _colours(file: GlbPlayback, stored: StoredExpectation) -> Float[Array, "U 3"]:
    return as_shown(file.attribute("COLOR_0")[:, :3])


def _target_colours(file: GlbPlayback, stored: StoredExpectation) -> Float[Array, "M U 3"]:
    return np.stack([as_shown(file.colours_at(name)) for name in stored.coloured])


def _texture_error(file: GlbPlayback, stored: StoredExpectation) -> Float[Array, "1"]:
    """Median error of the image at the expectation's points."""
    colours = _sample(file.image(), stored.arrays["colours/uv"])
    error = np.abs(colours - stored.arrays["colours/seen"])
    return np.array([np.median(error.max(axis=1))])


def _sample(image: bytes, uv: Float32[Array, "N 2"]) -> Float32[Array, "N 3"]:
    """Colours of a PNG at texture coordinates, by bilinear interpolation."""
    decoded = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
    if decoded is None:
        raise InputError("the texture is not a readable PNG; export the file again")
    texels = decoded[:, :, ::-1].astype(np.float32) / 255
    at = (uv * texels.shape[1::-1] - 0.5).astype(np.float32)
    sampled: Float32[Array, "N 1 3"] = cv2.remap(
        texels, at[:, None, 0], at[:, None, 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return sampled[:, 0]


COMPARISONS = {
    "vertices": Comparison("vertices", _vertices, Tolerance(1e-4)),  # metres
    "clip": Comparison("clip", _clip, Tolerance(1e-4)),
    "colours": Comparison("colours/vertex", _colours, Tolerance(0.5 / 255)),  # sRGB
    # Small changes of colour are stored as zero, in addition to rounding.
    "colours of targets": Comparison("coloured", _target_colours, Tolerance(1.5 / 255)),
    # Median over faces: the image has eight bits, and a face is three to ten texels wide.
    "texture": Comparison(
        "colours/uv", _texture_error, Tolerance(0.01), lambda stored, needs: np.zeros(1)
    ),
}
"""All comparisons, by their names in the report."""
